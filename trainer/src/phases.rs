//! Where the time of a training step goes. Owns the clock and the names of its phases; a clock that was not started costs a
//! branch, and on a GPU, where operations are only queued, a started one waits for them at every border.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tch::Device;

/// A part of a training step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for examples and handing them to the rows that have halted.
    Data,
    /// Forward, cycles without gradient.
    WithoutGradient,
    /// Forward, the rest, with losses and halting.
    Forward,
    /// Gradients.
    Backward,
    /// Update of weights and puzzle table.
    Optimizer,
    /// Moving average of the weights.
    Ema,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 6] =
        [Self::Data, Self::WithoutGradient, Self::Forward, Self::Backward, Self::Optimizer, Self::Ema];

    /// As reports call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::WithoutGradient => "forward without gradient",
            Self::Forward => "forward with gradient",
            Self::Backward => "backward",
            Self::Optimizer => "optimizer",
            Self::Ema => "ema",
        }
    }
}

/// Time spent in each phase, in the order of [`Phase::ALL`].
pub type PhaseTimes = [Duration; Phase::ALL.len()];

/// A clock that a learner and its backend share. Clones are the same clock.
#[derive(Debug, Clone, Default)]
pub struct PhaseClock(Option<Rc<Running>>);

#[derive(Debug)]
struct Running {
    device: Device,
    phase: Cell<Phase>,
    since: Cell<Instant>,
    times: RefCell<PhaseTimes>,
}

impl PhaseClock {
    /// A clock that runs, in phase [`Phase::Data`], for work on `device`.
    pub fn started(device: Device) -> Self {
        Self(Some(Rc::new(Running {
            device,
            phase: Cell::new(Phase::Data),
            since: Cell::new(Instant::now()),
            times: RefCell::default(),
        })))
    }

    /// From here on time is spent in `phase`. Gives the phase before, where the clock runs.
    pub fn enter(&self, phase: Phase) -> Option<Phase> {
        let running = self.0.as_ref()?;
        if let Device::Cuda(index) = running.device {
            tch::Cuda::synchronize(index as i64);
        }
        let now = Instant::now();
        let before = running.phase.replace(phase);
        running.times.borrow_mut()[before as usize] += now - running.since.replace(now);
        Some(before)
    }

    /// Calls `scope` in `phase` and goes back to the phase before.
    pub fn within<R>(&self, phase: Phase, scope: impl FnOnce() -> R) -> R {
        let before = self.enter(phase);
        let result = scope();
        if let Some(before) = before {
            self.enter(before);
        }
        result
    }

    /// What was spent since the last call; zero where the clock does not run.
    pub fn take(&self) -> PhaseTimes {
        let Some(running) = &self.0 else { return PhaseTimes::default() };
        self.enter(running.phase.get());
        running.times.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_to_the_phase_that_was_entered_last() {
        let clock = PhaseClock::started(Device::Cpu);
        assert_eq!(clock.enter(Phase::Forward), Some(Phase::Data));
        clock.within(Phase::WithoutGradient, || std::thread::sleep(Duration::from_millis(20)));
        assert_eq!(clock.enter(Phase::Backward), Some(Phase::Forward));
        let times = clock.take();
        assert!(times[Phase::WithoutGradient as usize] >= Duration::from_millis(20), "{times:?}");
        assert_eq!(times[Phase::Optimizer as usize], Duration::ZERO);
        assert_eq!(clock.take()[Phase::WithoutGradient as usize], Duration::ZERO);
        // A clock at rest says nothing and changes nothing.
        let rest = PhaseClock::default();
        assert_eq!((rest.enter(Phase::Ema), rest.within(Phase::Data, || 7)), (None, 7));
        assert_eq!(rest.take(), PhaseTimes::default());
    }
}
