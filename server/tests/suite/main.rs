//! The server's promises: engine, HTTP, ONNX Runtime behind them, evaluation.

#![expect(clippy::unwrap_used, reason = "in a test, an unexpected error is the failure to report")]

mod arc;
mod arc_evaluation;
mod arc_golden;
mod arc_http;
mod arc_model;
#[path = "../../../fuzz/fuzz_targets/arc_requests.rs"]
mod arc_requests;
mod arc_world;
mod arrival;
mod bench;
mod bodies;
mod countdown;
mod default_policy;
mod deployment;
mod engine;
mod evaluation;
mod evaluation_figures;
mod field;
#[path = "../../../datasets/tests/common/fixtures.rs"]
mod golden;
mod gpu_wanted;
mod hostile_requests;
mod http;
mod http_maze;
#[path = "../../../exporter/tests/common/hub_server.rs"]
mod hub_server;
mod onnx;
mod openapi;
mod operated;
mod operations;
mod oracle;
mod page;
mod pictures;
mod programs;
mod published;
mod puzzle_sets;
mod quantized;
mod random_checkpoint;
mod reload;
#[path = "../../../fuzz/fuzz_targets/requests.rs"]
mod requests;
mod restarts;
mod running;
mod samples;
mod scheduling;
mod served;
mod served_oracles;
mod serving;
mod streams;
#[allow(dead_code, reason = "shared with tests that use other parts")]
#[path = "../../../models/tests/common/torch_save.rs"]
mod torch_save;
