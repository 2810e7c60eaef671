//! The server's promises: engine, HTTP, ONNX Runtime behind them, evaluation.

#![expect(clippy::unwrap_used, reason = "in a test, an unexpected error is the failure to report")]

mod countdown;
mod engine;
mod http;
mod onnx;
mod oracle;
mod programs;
mod puzzle_sets;
mod random_checkpoint;
