//! How hard a puzzle is, and buckets of puzzles that are about as hard.
//! Owns measures and bucket bounds; leaves accuracies to the scorers.

use std::collections::BTreeSet;

use crate::sudoku::{HARD_GUESSES, Hardness, LogicLevel};

/// A range of a measure, with its label for people; ordered by the range.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketKey {
    /// Lowest value of the bucket.
    pub low: u64,
    /// `7`, `4–10` or `101+`.
    pub label: String,
}

/// The bucket of a number of guesses that [`solve`](crate::sudoku::solve) needs.
pub fn guesses_bucket(guesses: u64) -> BucketKey {
    const LOWS: [u64; 6] = [0, 1, 4, 11, 31, 101];
    let index = LOWS.partition_point(|&low| low <= guesses) - 1;
    let (low, next) = (LOWS[index], LOWS.get(index + 1));
    let label = match next {
        None => format!("{low}+"),
        Some(&next) => span_label(low, next - 1),
    };
    BucketKey { low, label }
}

/// The bucket of a rating: its level, with puzzles that only refutation solves parted at [`HARD_GUESSES`].
pub fn hardness_bucket(rating: &Hardness) -> BucketKey {
    let many = rating.guesses >= HARD_GUESSES;
    let (low, label) = match rating.level {
        LogicLevel::Singles | LogicLevel::Pairs => (rating.level as u64, rating.level.name().to_owned()),
        LogicLevel::Refutation if many => (3, format!("refutation, {HARD_GUESSES}+ guesses")),
        LogicLevel::Refutation => (2, format!("refutation, under {HARD_GUESSES} guesses")),
        LogicLevel::Nested => (4, rating.level.name().to_owned()),
    };
    BucketKey { low, label }
}

/// Buckets for any other measure: a bucket per value while these are few, else the narrowest round spans that make few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spans {
    width: u64,
}

impl Spans {
    /// Buckets at most.
    const FEW: usize = 12;

    /// Spans for these values.
    pub fn new(values: impl IntoIterator<Item = u64>) -> Self {
        let distinct: BTreeSet<u64> = values.into_iter().collect();
        let few = |width: u64| distinct.iter().map(|value| value / width).collect::<BTreeSet<_>>().len() <= Self::FEW;
        let widths = (0..=18).flat_map(|power| [1, 2, 5].map(|factor| factor * 10_u64.pow(power)));
        Self { width: widths.into_iter().find(|&width| few(width)).unwrap_or(u64::MAX) }
    }

    /// The bucket of a value.
    pub fn bucket(self, value: u64) -> BucketKey {
        let low = value / self.width * self.width;
        BucketKey { low, label: span_label(low, low.saturating_add(self.width - 1)) }
    }
}

fn span_label(low: u64, high: u64) -> String {
    if low == high { low.to_string() } else { format!("{low}–{high}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_fall_into_fixed_buckets() {
        let labels: Vec<String> =
            [0, 1, 3, 4, 10, 11, 30, 31, 101, u64::MAX].map(|guesses| guesses_bucket(guesses).label).into();
        assert_eq!(labels, ["0", "1–3", "1–3", "4–10", "4–10", "11–30", "11–30", "31–100", "101+", "101+"]);
    }

    #[test]
    fn spans_are_as_narrow_as_few_buckets_allow() {
        assert_eq!(Spans::new(17..=28).bucket(20), BucketKey { low: 20, label: "20".into() });
        assert_eq!(Spans::new(17..=29).bucket(21), BucketKey { low: 20, label: "20–21".into() });
        assert_eq!(Spans::new(111..=223).bucket(119), BucketKey { low: 110, label: "110–119".into() });
        assert_eq!(Spans::new([0, u64::MAX]).bucket(u64::MAX).label, u64::MAX.to_string());
        assert_eq!(Spans::new([]).bucket(5).label, "5");
    }
}
