//! `progress.json`: where an adaptation stands, for programs that watch it and for the process that goes on with it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pace::Clock;

/// Name of the file in the output folder.
pub const PROGRESS_FILE: &str = "progress.json";

/// What an adaptation is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The augmentations are being made.
    #[default]
    Building,
    /// Embeddings are trained; the trunk stands still.
    Frozen,
    /// Everything is trained.
    Training,
    /// The checkpoint is there.
    Finished,
}

/// Where an adaptation stands.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// Steps done.
    pub step: u64,
    /// Steps in all, as far as is known; 0 before the first.
    pub steps: u64,
    /// Seconds that all its processes have taken together.
    pub elapsed_seconds: f64,
    /// Seconds to go, once they can be estimated.
    pub eta_seconds: Option<f64>,
}

impl Progress {
    /// Before the first step, at this time.
    pub(super) fn at(clock: &Clock) -> Self {
        Self { elapsed_seconds: clock.spent().as_secs_f64(), ..Self::default() }
    }

    /// Time that was spent; of a file that says nonsense, none.
    pub(super) fn elapsed(&self) -> Duration {
        Duration::try_from_secs_f64(self.elapsed_seconds).unwrap_or_default()
    }
}
