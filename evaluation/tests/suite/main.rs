//! The evaluation's promises: figures, logs, puzzle lists, and the program `speedrun-inference` from outside.

#![expect(clippy::unwrap_used, reason = "in a test, an unexpected error is the failure to report")]

#[path = "../../../engine/tests/common/arc_checkpoint.rs"]
mod arc_checkpoint;
mod arc_evaluation;
mod arc_golden;
#[allow(dead_code, reason = "shared with tests that use other parts")]
#[path = "../../../engine/tests/common/arc_world.rs"]
mod arc_world;
mod evaluation;
mod evaluation_figures;
mod field;
#[path = "../../../datasets/tests/common/fixtures.rs"]
mod golden;
#[path = "../../../exporter/tests/common/hub_server.rs"]
mod hub_server;
#[allow(dead_code, reason = "shared with tests that use other parts")]
#[path = "../../../engine/tests/common/oracle.rs"]
mod oracle;
mod programs;
mod published;
mod puzzle_sets;
#[allow(dead_code, reason = "shared with tests that use other parts")]
#[path = "../../../engine/tests/common/random_checkpoint.rs"]
mod random_checkpoint;
#[allow(unreachable_pub, reason = "shared with the library of the integration tests")]
#[path = "../common/raw.rs"]
mod raw;
#[allow(dead_code, reason = "shared with tests that use other parts")]
#[path = "../../../models/tests/common/torch_save.rs"]
mod torch_save;
mod votes;
