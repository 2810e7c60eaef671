//! Both operations against the same arithmetic, written plainly in integers and float64.

use kernels::{ChannelMixing, Linear, Matrix, ShapeError, SwiGlu, TokenMixing, is_supported, tile_tokens};

/// A weight and its shape.
struct Weight {
    inputs: usize,
    integers: Vec<i8>,
    scales: Vec<f32>,
}

/// Numbers of a linear congruential generator, 0 to 1.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1_u64 << 24) as f32
    }

    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| 4.0 * self.next() - 2.0).collect()
    }

    fn weight(&mut self, inputs: usize, outputs: usize) -> Weight {
        let integers = (0..inputs * outputs).map(|_| (self.next() * 255.0 - 127.5).round_ties_even() as i8).collect();
        let scales = (0..outputs).map(|_| (0.5 + self.next()) / 127.0 / (inputs as f32).sqrt()).collect();
        Weight { inputs, integers, scales }
    }
}

impl Weight {
    fn matrix(&self) -> Matrix<'_> {
        Matrix { integers: &self.integers, scales: &self.scales }
    }

    /// The product with a vector that becomes integers of one scale, as the kernels do it, but in float64.
    fn product(&self, x: &[f64]) -> Vec<f64> {
        let largest = x.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
        let integers: Vec<i64> = x.iter().map(|value| (value / scale).round_ties_even() as i64).collect();
        let outputs = self.scales.len();
        let output = |column: usize| {
            let sum: i64 =
                (0..self.inputs).map(|row| integers[row] * i64::from(self.integers[row * outputs + column])).sum();
            sum as f64 * scale * f64::from(self.scales[column])
        };
        (0..outputs).map(output).collect()
    }
}

struct Block {
    gate: Weight,
    up: Weight,
    down: Weight,
}

impl Block {
    fn new(numbers: &mut Numbers, width: usize, inner: usize) -> Self {
        Self {
            gate: numbers.weight(width, inner),
            up: numbers.weight(width, inner),
            down: numbers.weight(inner, width),
        }
    }

    fn swiglu(&self) -> SwiGlu<'_> {
        SwiGlu { gate: self.gate.matrix(), up: self.up.matrix(), down: self.down.matrix() }
    }

    /// Of one token, or of one channel.
    fn expected(&self, x: &[f32], eps: f64) -> Vec<f64> {
        let x: Vec<f64> = x.iter().map(|&value| f64::from(value)).collect();
        let (gates, ups) = (self.gate.product(&x), self.up.product(&x));
        let act: Vec<f64> = gates.iter().zip(ups).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
        let sums: Vec<f64> = self.down.product(&act).iter().zip(&x).map(|(down, x)| down + x).collect();
        let mean = sums.iter().map(|value| value * value).sum::<f64>() / sums.len() as f64;
        sums.iter().map(|value| value / (mean + eps).sqrt()).collect()
    }
}

/// Greatest and mean difference from float64 that were measured over all cases, rounded up: 2.0e-3 and 4.5e-5. Both come
/// from values that lie so near to the middle between two integers that float32 takes the other one, which is a step of
/// 1/127 of the greatest value, one of `inner` that make up a result.
const GREATEST: f64 = 3e-3;
const MEAN: f64 = 1e-4;

/// Differences from float64 over several cases.
#[derive(Default)]
struct Differences {
    sum: f64,
    count: usize,
    greatest: f64,
}

impl Differences {
    fn add(&mut self, found: &[f32], expected: &[f64], case: &str) {
        for (index, (&found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (f64::from(found) - expected).abs();
            assert!(error < GREATEST, "{case}, value {index}: {found}, expected {expected}");
            self.sum += error;
            self.greatest = self.greatest.max(error);
        }
        self.count += found.len();
    }

    fn check(&self) {
        let mean = self.sum / self.count as f64;
        println!("{} values: greatest difference {:.1e}, mean {mean:.1e}", self.count, self.greatest);
        assert!(mean < MEAN, "mean difference {mean:.1e}");
    }
}

#[test]
fn channels_are_mixed() {
    if !is_supported() {
        eprintln!("THIS TEST DID NOT RUN: it needs a processor with AVX-512 and VNNI");
        return;
    }
    let (mut numbers, mut differences) = (Numbers(1), Differences::default());
    for (width, inner) in [(64, 32), (128, 512), (192, 96)] {
        let block = Block::new(&mut numbers, width, inner);
        let mixing = ChannelMixing::new(&block.swiglu()).unwrap();
        for tokens in [1, 2, 5, 6, 7, 13, 97] {
            let mut x = numbers.values(tokens * width);
            x[..width].fill(0.0);
            let mut out = vec![f32::NAN; x.len()];
            mixing.tile(&x, &mut out, 1e-5);
            for (token, (x, out)) in x.chunks(width).zip(out.chunks(width)).enumerate() {
                let case = format!("{width} x {inner}, token {token} of {tokens}");
                differences.add(out, &block.expected(x, 1e-5), &case);
            }
            for size in [1, tile_tokens(tokens, 2)] {
                let mut tiled = vec![f32::NAN; x.len()];
                for (x, out) in x.chunks(size * width).zip(tiled.chunks_mut(size * width)) {
                    mixing.tile(x, out, 1e-5);
                }
                assert_eq!(tiled, out, "tiles of {size}");
            }
        }
    }
    differences.check();
}

#[test]
fn products_are_exact_but_for_one_rounding() {
    if !is_supported() {
        eprintln!("THIS TEST DID NOT RUN: it needs a processor with AVX-512 and VNNI");
        return;
    }
    let (mut numbers, mut differences) = (Numbers(4), Differences::default());
    for (inputs, outputs, tokens) in [(16, 64, 3), (128, 384, 97), (528, 128, 8)] {
        let weight = numbers.weight(inputs, outputs);
        let linear = Linear::new(&weight.matrix()).unwrap();
        let x = numbers.values(tokens * inputs);
        let mut out = vec![f32::NAN; tokens * outputs];
        linear.tile(&x, &mut out);
        for (token, (x, out)) in x.chunks(inputs).zip(out.chunks(outputs)).enumerate() {
            let x: Vec<f64> = x.iter().map(|&value| f64::from(value)).collect();
            differences.add(out, &weight.product(&x), &format!("{inputs} x {outputs}, token {token}"));
        }
    }
    differences.check();
}

#[test]
fn tokens_are_mixed() {
    if !is_supported() {
        eprintln!("THIS TEST DID NOT RUN: it needs a processor with AVX-512 and VNNI");
        return;
    }
    let (mut numbers, mut differences) = (Numbers(2), Differences::default());
    for (tokens, inner, hidden_size) in [(16, 64, 64), (81, 256, 128), (97, 512, 192), (3, 32, 64)] {
        let block = Block::new(&mut numbers, tokens, inner);
        let mixing = TokenMixing::new(&block.swiglu()).unwrap();
        let mut x = numbers.values(tokens * hidden_size);
        x.iter_mut().step_by(hidden_size).for_each(|value| *value = 0.0);
        let mut out = vec![f32::NAN; x.len()];
        let mut rows: Vec<_> = out.chunks_exact_mut(hidden_size).map(|row| row.as_chunks_mut().0.iter_mut()).collect();
        for channel in (0..hidden_size).step_by(TokenMixing::TILE_CHANNELS) {
            let mut tile: Vec<_> = rows.iter_mut().map(|row| row.next().unwrap()).collect();
            mixing.tile(&x, channel, &mut tile, 1e-5);
        }
        for channel in 0..hidden_size {
            let of = |values: &[f32]| -> Vec<f32> { values[channel..].iter().step_by(hidden_size).copied().collect() };
            let case = format!("{tokens} tokens, inner size {inner}, channel {channel}");
            differences.add(&of(&out), &block.expected(&of(&x), 1e-5), &case);
        }
    }
    differences.check();
}

#[test]
fn tiles_share_the_work_evenly() {
    for (tokens, threads, expected) in [(97, 2, 49), (97, 1, 49), (776, 2, 49), (1, 8, 1), (81, 4, 21), (90, 2, 45)] {
        assert_eq!(tile_tokens(tokens, threads), expected, "{tokens} on {threads}");
    }
}

#[test]
fn shapes_are_checked() {
    let mut numbers = Numbers(3);
    let mut block = Block::new(&mut numbers, 96, 64);
    let error = ChannelMixing::new(&block.swiglu()).unwrap_err();
    assert_eq!(error, ShapeError { what: "width", expected: "a multiple of 64".into(), found: 96 });
    block.up = numbers.weight(96, 32);
    assert_eq!(TokenMixing::new(&block.swiglu()).unwrap_err().to_string(), "outputs of up: expected 64, found 32");
    block = Block::new(&mut numbers, 64, 48);
    assert_eq!(
        TokenMixing::new(&block.swiglu()).unwrap_err().to_string(),
        "inner size: expected a multiple of 32, found 48"
    );
    assert!(SwiGlu::fits(128, 512) && !SwiGlu::fits(96, 512) && !SwiGlu::fits(128, 48));
    assert!(Linear::fits(16, 64) && !Linear::fits(8, 64) && !Linear::fits(64, 96));
    assert_eq!(
        Linear::new(&block.gate.matrix()).unwrap_err().to_string(),
        "outputs: expected a multiple of 64, found 48"
    );
}
