//! Shares with their uncertainty: the Wilson score interval that every program prints beside an accuracy.
//! Owns the statistics; leaves what is counted to its callers.

use serde::{Deserialize, Serialize};

/// Normal quantile of a two-sided 95 % interval, as the field rounds it.
const Z_95: f64 = 1.96;

/// A measured share with its Wilson 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Successes / trials; 0 without trials.
    pub accuracy: f64,
    /// Lower and upper bound.
    pub interval: (f64, f64),
}

impl Share {
    /// The share `successes / trials`.
    pub fn of(successes: u64, trials: u64) -> Self {
        Self { accuracy: successes as f64 / trials.max(1) as f64, interval: wilson_interval(successes, trials) }
    }

    /// A mean of `trials` fractions (a task counts by the fraction of its test pairs that are right); the interval is
    /// that of a share with as many trials, which is too wide rather than too narrow.
    pub fn of_mean(mean: f64, trials: u64) -> Self {
        let interval = if trials == 0 { (0.0, 1.0) } else { wilson_interval_of_share(mean, trials) };
        Self { accuracy: mean, interval }
    }
}

/// Wilson score interval (95 %) of the share `successes / trials`; `(0, 1)` without trials.
///
/// E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
pub fn wilson_interval(successes: u64, trials: u64) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    wilson_interval_of_share(successes as f64 / trials as f64, trials)
}

/// The same for a share that is given as such.
pub fn wilson_interval_of_share(share: f64, trials: u64) -> (f64, f64) {
    let n = trials as f64;
    let z2 = Z_95 * Z_95;
    let denominator = 1.0 + z2 / n;
    let center = (share + z2 / (2.0 * n)) / denominator;
    let half = Z_95 * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt() / denominator;
    ((center - half).max(0.0), (center + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the alphaXiv fork's interval code, which has none for no trials.
    #[test]
    fn agrees_with_the_fork_of_the_reference() {
        let vectors = [
            (0.0, 10, 0.0, 0.277_540_168_766_616_6),
            (1.0, 10, 0.722_459_831_233_383_4, 1.0),
            (0.5, 10, 0.236_589_593_615_487_31, 0.763_410_406_384_512_6),
            (0.874, 422_786, 0.872_996_285_537_716_4, 0.874_996_917_901_635_1),
            (0.853, 1_000, 0.829_701_814_340_039_3, 0.873_596_395_257_969),
            (0.445, 400, 0.397_049_922_748_468_4, 0.493_996_467_717_496_5),
            (0.078, 120, 0.042_078_143_433_062_52, 0.140_102_965_338_142),
            (0.4, 419, 0.354_204_418_110_891_65, 0.447_612_621_650_569_8),
            (0.333_333_333_333_333_3, 3, 0.061_490_315_276_160_5, 0.792_345_044_873_512_1),
            (0.999, 1, 0.206_130_465_063_785_18, 0.999_999_739_827_160_1),
        ];
        for (share, trials, low, high) in vectors {
            let found = wilson_interval_of_share(share, trials);
            assert!((found.0 - low).abs() < 1e-12 && (found.1 - high).abs() < 1e-12, "{share} of {trials}: {found:?}");
        }
        assert_eq!(wilson_interval(0, 0), (0.0, 1.0));
    }
}
