//! Where the engine reads the time: tests set it themselves instead of waiting.

use std::fmt::Debug;
use std::time::Instant;

/// What an engine takes for the time, against which it holds deadlines and measures.
pub trait Clock: Debug + Send + Sync {
    /// The present moment; never earlier than at the call before.
    fn now(&self) -> Instant;
}

/// The clock of the system.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }
}
