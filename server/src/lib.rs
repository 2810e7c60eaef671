//! The HTTP server of the reasoning engine: routes, the page (also without a server), configuration, connections,
//! reload and telemetry.
//! Leaves loading models and solving puzzles to `engine`, and measuring them to `evaluation`.

pub mod config;
mod guarded_body;
pub mod http;
pub mod jobs;
pub mod lifecycle;
pub mod reload;
pub mod serving;
pub mod site;
pub mod telemetry;
