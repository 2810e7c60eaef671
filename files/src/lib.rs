//! Files and folders that appear whole or not at all ([`write()`], [`StagedFolder`]), their hashes, and downloads that resume
//! ([`download`]).
//! Owns temporary names, syncing and leftovers of killed processes; leaves content to its callers. Has no workspace
//! dependencies.

#[cfg(feature = "download")]
pub mod download;
mod error;
mod hash;
#[cfg(feature = "progress")]
pub mod progress;
mod staging;

pub use error::FileError;
pub use hash::{hash_of, sha256_of};
pub use staging::{StagedFile, StagedFolder, parent_of, remove_leftovers, write, write_at, write_folder, write_with};
