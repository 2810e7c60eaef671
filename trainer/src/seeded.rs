//! Random tensors for tests that run side by side: libtorch's generator is one for the whole process, so that a seed alone
//! does not decide what a test draws while others draw too.

use std::sync::{Mutex, PoisonError};

/// What `draw` makes after `seed`, whatever other tests draw through this function meanwhile.
pub(crate) fn seeded<R>(seed: i64, draw: impl FnOnce() -> R) -> R {
    static GENERATOR: Mutex<()> = Mutex::new(());
    let _alone = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed);
    draw()
}
