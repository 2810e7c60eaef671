//! Data-parallel training over libtorch's c10d: how processes find each other under `torchrun` or `trainer launch`, the
//! collectives between them, and who is named when one fails. What is reduced when is the learner's business.

mod environment;
mod error;
mod ffi;
mod group;
mod peers;
mod ranks;
mod store;

pub use environment::Environment;
pub use error::DistributedError;
pub use group::ProcessGroup;
pub use peers::Peers;
pub use ranks::{Flags, Ranks};
pub use store::Store;
