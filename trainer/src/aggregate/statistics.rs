//! Means over seeds with Student's interval, and Welch's test of two of them. Owns the formulas; `statrs` has the quantiles.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// A sample's mean and spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Values.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Standard deviation with n−1; `None` for one value.
    pub std: Option<f64>,
    /// 95 % interval of the mean by Student's t; `None` for one value.
    pub interval: Option<(f64, f64)>,
}

impl Summary {
    /// Of `values`; `None` without any.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        if count == 0 {
            return None;
        }
        let n = count as f64;
        let mean = values.iter().sum::<f64>() / n;
        if count == 1 {
            return Some(Self { count, mean, std: None, interval: None });
        }
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let half = students_t(n - 1.0)?.inverse_cdf(0.975) * (variance / n).sqrt();
        Some(Self { count, mean, std: Some(variance.sqrt()), interval: Some((mean - half, mean + half)) })
    }
}

/// How two means differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Welch {
    /// Second minus first.
    pub difference: f64,
    /// 95 % interval of the difference.
    pub interval: (f64, f64),
    /// Welch's statistic.
    pub t: f64,
    /// Welch and Satterthwaite's degrees of freedom.
    pub degrees: f64,
    /// Two-sided probability of such a difference between equal means.
    pub p: f64,
}

impl Welch {
    /// Of two samples of two values or more each; `None` where one is smaller, or neither varies at all.
    pub fn of(first: &Summary, second: &Summary) -> Option<Self> {
        let share = |sample: &Summary| Some(sample.std?.powi(2) / sample.count as f64);
        let (a, b) = (share(first)?, share(second)?);
        if a + b == 0.0 {
            return None;
        }
        let degrees =
            (a + b).powi(2) / (a.powi(2) / (first.count as f64 - 1.0) + b.powi(2) / (second.count as f64 - 1.0));
        let difference = second.mean - first.mean;
        let error = (a + b).sqrt();
        let distribution = students_t(degrees)?;
        let half = distribution.inverse_cdf(0.975) * error;
        let t = difference / error;
        let p = 2.0 * distribution.cdf(-t.abs());
        Some(Self { difference, interval: (difference - half, difference + half), t, degrees, p })
    }
}

fn students_t(degrees: f64) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, degrees).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0), "{found} is not {expected}");
    }

    /// Tables of Student's distribution: t(0.975) is 4.302653 with 2 degrees of freedom and 2.776445 with 4.
    #[test]
    fn intervals_are_students() {
        let three = Summary::of(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!((three.count, three.mean, three.std), (3, 2.0, Some(1.0)));
        close(three.interval.unwrap().1, 2.0 + 4.302_652_73 / 3.0_f64.sqrt());
        let five = Summary::of(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        close(five.interval.unwrap().0, 3.0 - 2.776_445_11 * (2.5_f64 / 5.0).sqrt());
        assert_eq!(Summary::of(&[7.0]).unwrap(), Summary { count: 1, mean: 7.0, std: None, interval: None });
        assert_eq!(Summary::of(&[]), None);
    }

    /// Equal sizes and deviations make Welch's test Student's: t = 1 / √(2/3), 4 degrees of freedom, p = 0.2878641.
    #[test]
    fn differences_are_welchs() {
        let [one, two] = [[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]].map(|values| Summary::of(&values).unwrap());
        let welch = Welch::of(&one, &two).unwrap();
        close(welch.t, 1.5_f64.sqrt());
        close(welch.degrees, 4.0);
        close(welch.p, 0.287_864_1);
        close(welch.interval.1, 1.0 + 2.776_445_11 * (2.0_f64 / 3.0).sqrt());
        // Unequal ones lose degrees of freedom: (1/3 + 100/3)² / ((1/3)²/2 + (100/3)²/2).
        let wide = Summary::of(&[0.0, 10.0, 20.0]).unwrap();
        close(Welch::of(&one, &wide).unwrap().degrees, 101.0_f64.powi(2) / 9.0 / (10_001.0 / 18.0));
        let constant = Summary::of(&[1.0, 1.0]).unwrap();
        assert_eq!(Welch::of(&constant, &constant), None);
    }
}
