//! The engine's promises: scheduling, restarts, policies, ONNX Runtime behind them, ARC.

#![expect(clippy::unwrap_used, reason = "in a test, an unexpected error is the failure to report")]

mod arc;
#[path = "../common/arc_checkpoint.rs"]
mod arc_checkpoint;
mod arc_model;
#[path = "../common/arc_world.rs"]
mod arc_world;
#[path = "../common/countdown.rs"]
mod countdown;
mod default_policy;
mod engine;
#[path = "../common/manual_clock.rs"]
mod manual_clock;
mod onnx;
#[allow(dead_code, reason = "shared with tests that use other parts")]
#[path = "../common/oracle.rs"]
mod oracle;
mod quantized;
#[allow(dead_code, reason = "shared with tests that use other parts")]
#[path = "../common/random_checkpoint.rs"]
mod random_checkpoint;
mod restarts;
mod scheduling;
