//! Accuracy against test-time compute: by steps of one chain, by number of chains.
//! Owns the points, the collapse check and the pictures; leaves measuring to the parts of an evaluation.

use datasets::picture::{ChartLine, LineChart, Rgb, Scale};
use datasets::scoring::Share;
use serde::{Deserialize, Serialize};

/// Points of accuracy that more steps may cost before they count as a collapse: more than chance moves a few hundred
/// puzzles, less than anyone would give away.
pub const COLLAPSE_TOLERANCE: f64 = 0.01;

const RED: Rgb = [200, 60, 40];
const BLUE: Rgb = [60, 110, 190];
const GREEN: Rgb = [50, 150, 80];
const GREY: Rgb = [150, 160, 170];

/// Accuracies after some number of steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepPoint {
    /// Supervision steps.
    pub steps: usize,
    /// The prediction equals the label.
    pub exact: Share,
    /// The prediction obeys the rules.
    pub obeys: Share,
    /// This or an earlier prediction obeys the rules.
    pub verified: Share,
}

/// Accuracies with some number of chains.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChainPoint {
    /// Chains: the plain one and further ones.
    pub chains: usize,
    /// One of their last answers equals the label.
    pub pass: Share,
    /// The voted one does.
    pub vote: Share,
    /// The one that the model trusts most does.
    pub best_q: Share,
    /// Some step of some chain obeys the rules.
    pub verified: Share,
}

/// What a deep run shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DepthProbe {
    /// Most steps that were looked at.
    pub deepest: usize,
    /// Steps up to which no number of steps costs more accuracy than [`COLLAPSE_TOLERANCE`].
    pub safe_max_steps: usize,
    /// The first number of steps beyond, if there is one, and its exact accuracy.
    pub collapse: Option<(usize, f64)>,
}

/// Powers of two up to `most`, with `most` and `also` among them.
pub fn points_up_to(most: usize, also: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(1_usize), |&point| point.checked_mul(2)).take_while(|&point| point <= most);
    let mut points: Vec<usize> = powers.chain([most, also]).filter(|&point| point > 0).collect();
    points.sort_unstable();
    points.dedup();
    points
}

/// Looks for a collapse: a number of steps whose exact accuracy falls short of the best with fewer steps.
pub fn probe(points: &[StepPoint]) -> Option<DepthProbe> {
    let deepest = points.last()?.steps;
    let mut best = 0.0_f64;
    let mut safe = points.first()?.steps;
    for point in points {
        if point.exact.accuracy + COLLAPSE_TOLERANCE < best {
            let collapse = Some((point.steps, point.exact.accuracy));
            return Some(DepthProbe { deepest, safe_max_steps: safe, collapse });
        }
        best = best.max(point.exact.accuracy);
        safe = point.steps;
    }
    Some(DepthProbe { deepest, safe_max_steps: safe, collapse: None })
}

/// The curve by steps as a chart.
pub fn steps_chart(title: &str, points: &[StepPoint]) -> LineChart {
    let lines: [Line<StepPoint>; 3] = [
        ("verified by then", GREEN, |point| point.verified),
        ("by the rules (raw)", BLUE, |point| point.obeys),
        ("exact (raw)", RED, |point| point.exact),
    ];
    chart(title, "supervision steps", points, |point| point.steps, &lines)
}

/// The curve by chains as a chart.
pub fn chains_chart(title: &str, points: &[ChainPoint]) -> LineChart {
    let lines: [Line<ChainPoint>; 4] = [
        ("best-q@K", GREY, |point| point.best_q),
        ("vote@K", BLUE, |point| point.vote),
        ("pass@K", RED, |point| point.pass),
        ("verified@K", GREEN, |point| point.verified),
    ];
    chart(title, "chains", points, |point| point.chains, &lines)
}

/// Label, colour, and which of a point's shares the line follows.
type Line<P> = (&'static str, Rgb, fn(&P) -> Share);

fn chart<P>(title: &str, x_label: &str, points: &[P], x: fn(&P) -> usize, lines: &[Line<P>]) -> LineChart {
    let lines = lines.iter().map(|&(label, colour, share)| ChartLine {
        label: label.into(),
        colour,
        points: points.iter().map(|point| (x(point) as f64, share(point).accuracy)).collect(),
    });
    LineChart { title: title.into(), x_label: x_label.into(), x_scale: Scale::Doublings, lines: lines.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(steps: usize, exact: u64) -> StepPoint {
        let share = Share::of(exact, 1000);
        StepPoint { steps, exact: share, obeys: share, verified: share }
    }

    #[test]
    fn points_are_powers_of_two_and_the_ends() {
        assert_eq!(points_up_to(16, 16), [1, 2, 4, 8, 16]);
        assert_eq!(points_up_to(24, 10), [1, 2, 4, 8, 10, 16, 24]);
        assert_eq!(points_up_to(1, 1), [1]);
    }

    #[test]
    fn a_collapse_is_a_fall_below_the_best_before_it() {
        let rising = [point(1, 100), point(16, 870), point(64, 900), point(128, 895)];
        let found = probe(&rising).unwrap();
        assert_eq!((found.safe_max_steps, found.collapse, found.deepest), (128, None, 128));
        let falling = [point(16, 870), point(64, 900), point(128, 500), point(256, 900)];
        let found = probe(&falling).unwrap();
        assert_eq!((found.safe_max_steps, found.collapse), (64, Some((128, 0.5))));
        // Each step of a slow fall is within the tolerance of the one before, but not of the best.
        let slow = [point(16, 900), point(32, 895), point(64, 891), point(128, 886)];
        assert_eq!(probe(&slow).unwrap().safe_max_steps, 64);
        assert_eq!(probe(&[]), None);
    }
}
