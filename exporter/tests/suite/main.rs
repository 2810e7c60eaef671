//! The promises of `exporter`: graphs and their numbers, the commands, and repositories for Triton.
//! What must come first in a process stands in a file of its own.

#![allow(clippy::unwrap_used, reason = "in a test, an unexpected error is the failure to report")]

mod command;
#[path = "../common/mod.rs"]
mod common;
mod graphs;
#[path = "../common/hub_server.rs"]
mod hub_server;
mod import;
mod parity;
#[allow(dead_code, reason = "shared with tests that use other parts")]
#[path = "../../../models/tests/common/torch_save.rs"]
mod torch_save;
mod triton;
mod verify;
