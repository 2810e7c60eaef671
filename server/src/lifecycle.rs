//! Where the process stands between its first connection and its end. Probes, routes and connections ask here; only
//! serving moves it on.

use std::sync::atomic::{AtomicU8, Ordering};

use serde::Serialize;

/// A stage of the process's life. It never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Every model has run every batch size: before that the server does not listen.
    Ready,
    /// Told to stop: what is accepted is finished, balancers should send nothing new.
    Draining,
}

/// The present phase, shared by everyone who asks.
#[derive(Debug)]
pub struct Lifecycle(AtomicU8);

impl Lifecycle {
    /// Begins in `phase`.
    pub fn new(phase: Phase) -> Self {
        Self(AtomicU8::new(phase as u8))
    }

    /// Where the process stands.
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Ready,
            _ => Phase::Draining,
        }
    }

    /// Moves on to `phase`; without effect when that lies behind.
    pub fn advance(&self, phase: Phase) {
        self.0.fetch_max(phase as u8, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draining_process_never_becomes_ready_again() {
        let lifecycle = Lifecycle::new(Phase::Ready);
        assert_eq!(lifecycle.phase(), Phase::Ready);
        lifecycle.advance(Phase::Draining);
        lifecycle.advance(Phase::Ready);
        assert_eq!(lifecycle.phase(), Phase::Draining);
    }
}
