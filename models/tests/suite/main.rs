//! The promises of `models`: configurations, checkpoints, and files of PyTorch.
//! What measures the memory of its process stands in files of its own.

#![allow(clippy::unwrap_used, reason = "in a test, an unexpected error is the failure to report")]

mod checkpoint;
mod config;
mod import;
mod state_dict;
mod step_cost;
mod torch_file;
#[path = "../common/torch_save.rs"]
mod torch_save;
