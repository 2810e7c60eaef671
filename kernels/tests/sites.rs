//! The mixers of sites against the same arithmetic, written plainly in float64.

use std::sync::atomic::{AtomicUsize, Ordering};

use kernels::ShapeError;
use kernels::sites::{Parallel, Serial, SiteSwiGlu, UnitsMixing};

const EPS: f32 = 1e-5;
/// Rounding of float32 through two products and a norm: 1.9e-6 at most at the sizes below.
const TOLERANCE: f64 = 8e-6;

/// Numbers of a linear congruential generator, -1 to 1.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }

    fn values(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| scale * self.next()).collect()
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next().abs() * bound as f32) as usize % bound
    }
}

/// Two threads, whose pieces come last to first.
struct TwoThreads(AtomicUsize);

impl Parallel for TwoThreads {
    fn run(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        self.0.fetch_add(1, Ordering::Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| (count / 2..count).rev().for_each(work));
            (0..count / 2).rev().for_each(work);
        });
    }
}

fn dot(x: &[f32], y: impl Iterator<Item = f32>) -> f64 {
    x.iter().zip(y).map(|(&x, y)| f64::from(x) * f64::from(y)).sum()
}

fn normalized(row: &[f64]) -> Vec<f64> {
    let mean = row.iter().map(|value| value * value).sum::<f64>() / row.len() as f64;
    row.iter().map(|value| value / (mean + f64::from(EPS)).sqrt()).collect()
}

fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let worst = found.iter().zip(expected).map(|(&found, expected)| (f64::from(found) - expected).abs());
    let worst = worst.fold(0.0, f64::max);
    assert!(worst < TOLERANCE, "{worst:e}");
}

/// A SwiGLU with residual and norm, `links` for those of a stencil.
fn plain_swiglu(x: &[f32], width: usize, weights: &[Vec<f32>; 3], links: Option<&[i32]>) -> Vec<f64> {
    let [gate_up, down, stencil] = weights;
    let inner = down.len() / width;
    let rows: Vec<&[f32]> = x.chunks(width).collect();
    let project = |row: &[f32], output: usize| dot(row, gate_up[output * width..][..width].iter().copied());
    let up = |site: usize, channel: usize| match links {
        None => project(rows[site], inner + channel),
        Some(links) => (0..9)
            .map(|tap| match rows.get(links[site * 9 + tap] as usize) {
                Some(row) => f64::from(stencil[channel * 9 + tap]) * project(row, inner + channel),
                None => 0.0,
            })
            .sum(),
    };
    let site = |site: usize| {
        let active: Vec<f64> =
            (0..inner).map(|channel| silu(project(rows[site], channel)) * up(site, channel)).collect();
        let delta = |output: usize| -> f64 {
            active.iter().zip(&down[output * inner..][..inner]).map(|(a, &d)| a * f64::from(d)).sum()
        };
        normalized(&(0..width).map(|at| f64::from(rows[site][at]) + delta(at)).collect::<Vec<_>>())
    };
    (0..rows.len()).flat_map(site).collect()
}

#[test]
fn sites_alone_and_with_a_stencil_are_those_of_float64() {
    let mut numbers = Numbers(1);
    // Sizes that fill panels and tiles, and sizes that fill neither.
    for (sites, width, inner) in [(1, 8, 16), (48, 64, 128), (131, 24, 40), (100, 64, 128)] {
        let mut weights = [
            numbers.values(2 * inner * width, 2.0 / (width as f32).sqrt()),
            numbers.values(inner * width, 2.0 / (inner as f32).sqrt()),
            Vec::new(),
        ];
        let x = numbers.values(sites * width, 1.7);
        let mut out = vec![f32::NAN; x.len()];
        let alone = SiteSwiGlu::new(width, &weights[0], &weights[1], &[]).unwrap();
        assert!(!alone.has_stencil() && alone.width() == width);
        alone.sites(&Serial, &x, EPS, &mut out);
        assert_close(&out, &plain_swiglu(&x, width, &weights, None));

        weights[2] = numbers.values(9 * inner, 1.0);
        // The number of sites stands for a wall.
        let links: Vec<i32> = (0..9 * sites).map(|_| numbers.below(sites + 1) as i32).collect();
        let local = SiteSwiGlu::new(width, &weights[0], &weights[1], &weights[2]).unwrap();
        local.board(&Serial, &x, &links, EPS, &mut out);
        assert_close(&out, &plain_swiglu(&x, width, &weights, Some(&links)));

        let threads = TwoThreads(AtomicUsize::new(0));
        let mut again = vec![f32::NAN; x.len()];
        local.board(&threads, &x, &links, EPS, &mut again);
        assert_eq!(again, out, "threads change nothing");
        assert_eq!(threads.0.into_inner(), 2);
    }
}

#[test]
fn units_are_those_of_float64() {
    let mut numbers = Numbers(2);
    for (sites, of_kind, width, pool) in [(1, 1, 8, 8), (218, 50, 64, 32), (97, 13, 24, 12)] {
        let input = numbers.values(3 * pool * width, 2.0 / (width as f32).sqrt());
        let output = numbers.values(3 * pool * width, 2.0 / (pool as f32).sqrt());
        let x = numbers.values(sites * width, 1.7);
        // Every unit has a site: the first ones take them in turns.
        let unit = |site: usize, numbers: &mut Numbers| if site < of_kind { site } else { numbers.below(of_kind) };
        let links: Vec<i32> = (0..sites)
            .flat_map(|site| [0, 1, 2, 3].map(|kind| (kind * of_kind + unit(site, &mut numbers)) as i32))
            .collect();
        let rows: Vec<&[f32]> = x.chunks(width).collect();
        let part_of_kind = [0, 1, 1, 2];
        let pooled = |unit: usize, channel: usize| -> f64 {
            let part = part_of_kind[unit / of_kind];
            let sent = (0..sites)
                .filter(|site| links[site * 4 + unit / of_kind] as usize == unit)
                .map(|site| dot(rows[site], input[(part * pool + channel) * width..][..width].iter().copied()));
            if channel < pool / 2 { sent.sum::<f64>() / 3.0 } else { sent.fold(f64::NEG_INFINITY, f64::max) }
        };
        let pooled: Vec<Vec<f64>> =
            (0..4 * of_kind).map(|unit| (0..pool).map(|channel| pooled(unit, channel)).collect()).collect();
        let expected: Vec<f64> = (0..sites)
            .flat_map(|site| {
                let delta = |at: usize| -> f64 {
                    let of_kind = |kind: usize| -> f64 {
                        let weights = &output[(at * 3 + part_of_kind[kind]) * pool..][..pool];
                        let pooled = &pooled[links[site * 4 + kind] as usize];
                        pooled.iter().zip(weights).map(|(p, &w)| p * f64::from(w)).sum()
                    };
                    (0..4).map(of_kind).sum()
                };
                normalized(&(0..width).map(|at| f64::from(rows[site][at]) + delta(at)).collect::<Vec<_>>())
            })
            .collect();

        let mixing = UnitsMixing::new(width, pool, &input, &output).unwrap();
        let mut out = vec![f32::NAN; x.len()];
        mixing.board(&Serial, &x, &links, 4 * of_kind, EPS, &mut out);
        assert_close(&out, &expected);
        let mut again = vec![f32::NAN; x.len()];
        mixing.board(&TwoThreads(AtomicUsize::new(0)), &x, &links, 4 * of_kind, EPS, &mut again);
        assert_eq!(again, out, "threads change nothing");
    }
}

#[test]
fn an_empty_board_and_weights_of_other_shapes() {
    let local = SiteSwiGlu::new(8, &[0.1; 256], &[0.1; 128], &[0.1; 144]).unwrap();
    local.board(&Serial, &[], &[], EPS, &mut []);
    local.sites(&Serial, &[], EPS, &mut []);
    UnitsMixing::new(8, 4, &[0.1; 96], &[0.1; 96]).unwrap().board(&Serial, &[], &[], 0, EPS, &mut []);

    let error = UnitsMixing::new(8, 4, &[0.1; 95], &[0.1; 96]).unwrap_err();
    assert_eq!(error, ShapeError { what: "values of input", expected: "96".to_owned(), found: 95 });
    let error = SiteSwiGlu::new(8, &[0.1; 256], &[0.1; 128], &[0.1; 9]).unwrap_err();
    assert_eq!(error, ShapeError { what: "values of the stencil", expected: "144".to_owned(), found: 9 });
    assert!(UnitsMixing::new(8, 3, &[0.1; 72], &[0.1; 72]).is_err());
}
