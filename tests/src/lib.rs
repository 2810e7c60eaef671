//! Helpers of the tests that join crates: training a small model in this process, running graphs, asking a server,
//! looking at its page.
//! Owns no promise itself. Everything goes through the crates' libraries, never through built programs: those of other
//! packages need not exist when this package is tested alone.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "helpers of tests: a panic is a failed test")]

mod arc;
mod browser;
mod graph;
mod learned;
mod not_run;
#[path = "../../evaluation/tests/common/raw.rs"]
pub mod raw;
mod served;

pub use arc::{ArcWorld, arc_task, build_arc, write_task};
pub use browser::{Browser, Programs, Screen};
pub use graph::{Graph, StepOutputs};
pub use learned::{libtorch_steps, train};
pub use not_run::not_run;
pub use served::{
    adapting_routes, arc_routes, engine_limits, exact_share, guarded_routes, listen, one_thread, post_puzzles, routes,
    routes_of, routes_with_restarts,
};
