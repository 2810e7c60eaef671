//! The server's promises: HTTP, operations, the page, and the commands of the program `server`.

#![expect(clippy::unwrap_used, reason = "in a test, an unexpected error is the failure to report")]

#[path = "../../../engine/tests/common/arc_checkpoint.rs"]
mod arc_checkpoint;
mod arc_http;
#[path = "../../../fuzz/fuzz_targets/arc_requests.rs"]
mod arc_requests;
#[allow(dead_code, reason = "shared with tests that use other parts")]
#[path = "../../../engine/tests/common/arc_world.rs"]
mod arc_world;
mod arrival;
mod bench;
mod bodies;
#[allow(dead_code, unreachable_pub, reason = "shared with tests that use other parts")]
#[path = "../../../tests/src/browser.rs"]
mod browser;
mod clusters;
#[allow(dead_code, reason = "shared with tests that use other parts")]
#[path = "../../../engine/tests/common/countdown.rs"]
mod countdown;
mod deployment;
mod eval_command;
mod field;
mod gpu_wanted;
mod hostile_requests;
mod http;
mod http_maze;
mod jobs;
#[path = "../../../engine/tests/common/manual_clock.rs"]
mod manual_clock;
#[allow(unreachable_pub, reason = "shared with a package of helpers")]
#[path = "../../../tests/src/not_run.rs"]
mod not_run;
mod open_inference;
mod openapi;
mod operated;
mod operations;
#[path = "../../../engine/tests/common/oracle.rs"]
mod oracle;
mod page;
mod pictures;
mod programs;
#[allow(dead_code, reason = "shared with tests that use other parts")]
#[path = "../../../engine/tests/common/random_checkpoint.rs"]
mod random_checkpoint;
mod reload;
#[path = "../../../fuzz/fuzz_targets/requests.rs"]
mod requests;
mod running;
mod samples;
mod served;
mod served_oracles;
mod serving;
mod site;
mod site_visit;
mod streams;
#[path = "../../../fuzz/fuzz_targets/texts.rs"]
mod texts;
