//! The server's promises: engine, HTTP, ONNX Runtime behind them, evaluation.

mod countdown;
mod engine;
mod http;
mod onnx;
mod oracle;
mod programs;
mod random_checkpoint;
