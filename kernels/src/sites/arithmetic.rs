//! What the mixers are made of, compiled once for each instruction set: products with packed weights, gates, stencils,
//! pools and norms.

#![expect(clippy::inline_always, reason = "only what is inlined is compiled for the caller's instruction set")]

/// Columns of a panel of packed weights.
const PANEL: usize = 16;
/// Cells that a stencil reads.
const TAPS: usize = 9;

/// The transpose of a weight `[outputs, inputs]` in panels of [`PANEL`] outputs, the last filled up with zeros.
#[derive(Debug)]
pub(super) struct Packed {
    panels: Vec<[f32; PANEL]>,
    inputs: usize,
    outputs: usize,
}

impl Packed {
    /// Packs the part of a weight whose element of output `o` and input `i` is `at(o, i)`.
    pub(super) fn new(outputs: usize, inputs: usize, at: impl Fn(usize, usize) -> f32) -> Self {
        let value = |output: usize, input: usize| if output < outputs { at(output, input) } else { 0.0 };
        let row = |panel: usize, input: usize| std::array::from_fn(|lane| value(panel * PANEL + lane, input));
        let rows = (0..outputs.div_ceil(PANEL)).flat_map(|panel| (0..inputs).map(move |input| (panel, input)));
        Self { panels: rows.map(|(panel, input)| row(panel, input)).collect(), inputs, outputs }
    }
}

/// Defines a function that calls `$body` as it is compiled for the processor that the program runs on. The parameters of
/// `$body` are the rows whose sums fit the registers beside a panel's row, and whether a product and a sum are
/// one instruction.
macro_rules! for_this_processor {
    ($(#[$doc:meta])* $name:ident = $body:ident($($argument:ident: $type:ty),*)) => {
        $(#[$doc])*
        pub(super) fn $name($($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx2,fma")]
                fn avx512($($argument: $type),*) {
                    $body::<12, true>($($argument),*);
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($argument: $type),*) {
                    $body::<6, true>($($argument),*);
                }
                let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
                let has_avx512 = is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq");
                if has_avx2 {
                    #[expect(unsafe_code, reason = "the processor was asked for the instructions")]
                    // SAFETY: the features that the functions are compiled for were just detected.
                    return unsafe {
                        if has_avx512 { avx512($($argument),*) } else { avx2($($argument),*) }
                    };
                }
            }
            $body::<3, { cfg!(target_arch = "aarch64") }>($($argument),*);
        }
    };
}

for_this_processor!(
    /// `out = x · weightᵀ`, `[rows, inputs]` to `[rows, outputs]`.
    product = product_body(x: &[f32], weight: &Packed, out: &mut [f32])
);
for_this_processor!(
    /// `up = silu(gate) · up`.
    gate = gate_body(gates: &[f32], ups: &mut [f32])
);
for_this_processor!(
    /// What each of the sites `links` `[sites, 9]` sees: the sum of `stencil` `[9, inner]` times the rows of `ups` that are
    /// named.
    see = see_body(ups: &[f32], links: &[i32], stencil: &[f32], out: &mut [f32])
);
for_this_processor!(
    /// `out = y / sqrt(mean(y²) + eps)` row by row, for `y = x + out`.
    residual_norm = residual_norm_body(x: &[f32], out: &mut [f32], width: usize, eps: f32)
);
for_this_processor!(
    /// As [`residual_norm`], for `y` = `x` + the sum of the rows of `answers` that a site's four `links` name.
    answered_norm = answered_norm_body(x: &[f32], answers: &[f32], links: &[i32], out: &mut [f32], width: usize, eps: f32)
);
for_this_processor!(
    /// Sums of the first and maxima of the second half of `sent`'s channels over the sites of each unit: `sent`
    /// `[sites, parts · pool]`, `pooled` `[units, pool]`.
    pool = pool_body(sent: &[f32], links: &[i32], pooled: &mut [f32], pool_size: usize, sum_scale: f32)
);

#[inline(always)]
fn multiply_add<const FMA: bool>(x: f32, y: f32, sum: f32) -> f32 {
    if FMA { x.mul_add(y, sum) } else { x * y + sum }
}

#[inline(always)]
fn product_body<const ROWS: usize, const FMA: bool>(x: &[f32], weight: &Packed, out: &mut [f32]) {
    let (inputs, outputs) = (weight.inputs, weight.outputs);
    let rows = x.len() / inputs;
    assert!(rows * inputs == x.len() && rows * outputs == out.len(), "a row is whole");
    for (index, panel) in weight.panels.chunks_exact(inputs).enumerate() {
        let begin = index * PANEL;
        let width = PANEL.min(outputs - begin);
        let mut row = 0;
        macro_rules! tiles {
            ($count:expr) => {
                while rows - row >= $count {
                    let sums = tile::<{ $count }, FMA>(&x[row * inputs..(row + $count) * inputs], panel);
                    for (at, sums) in sums.iter().enumerate() {
                        let out = &mut out[(row + at) * outputs + begin..][..width];
                        match <&mut [f32; PANEL]>::try_from(&mut *out) {
                            Ok(out) => *out = *sums,
                            Err(_) => out.copy_from_slice(&sums[..width]),
                        }
                    }
                    row += $count;
                }
            };
        }
        tiles!(ROWS);
        tiles!(4);
        tiles!(2);
        tiles!(1);
    }
}

/// `ROWS` rows of `x` times a panel.
#[inline(always)]
fn tile<const ROWS: usize, const FMA: bool>(x: &[f32], panel: &[[f32; PANEL]]) -> [[f32; PANEL]; ROWS] {
    let inputs = panel.len();
    let rows: [&[f32]; ROWS] = std::array::from_fn(|row| &x[row * inputs..(row + 1) * inputs]);
    let mut sums = [[0.0; PANEL]; ROWS];
    for (input, weights) in panel.iter().enumerate() {
        for (sums, row) in sums.iter_mut().zip(rows) {
            #[expect(unsafe_code, reason = "a bounds check for every factor takes longer than the product")]
            // SAFETY: every row has as many values as the panel has rows.
            let factor = unsafe { *row.get_unchecked(input) };
            for (sum, &weight) in sums.iter_mut().zip(weights) {
                *sum = multiply_add::<FMA>(factor, weight, *sum);
            }
        }
    }
    sums
}

/// `1 / (1 + e^-x)` to 2e-7 of itself; `x` is cut at ±87.
#[inline(always)]
fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    const LARGEST: f32 = 87.0;
    /// Adding it leaves no digits behind the point.
    const SHIFT: f32 = 12_582_912.0;
    let x = (-x).clamp(-LARGEST, LARGEST);
    let shifted = multiply_add::<FMA>(x, std::f32::consts::LOG2_E, SHIFT);
    let power = shifted - SHIFT;
    // ln 2 in two parts, the first exact times any power.
    let rest = multiply_add::<FMA>(power, -0.693_359_4, x);
    let rest = multiply_add::<FMA>(power, 2.121_944_4e-4, rest);
    let mut exp = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5, 1.0, 1.0] {
        exp = multiply_add::<FMA>(exp, rest, coefficient);
    }
    let scale = f32::from_bits((shifted.to_bits().wrapping_sub(SHIFT.to_bits()).wrapping_add(127)) << 23);
    1.0 / multiply_add::<FMA>(exp, scale, 1.0)
}

#[inline(always)]
fn gate_body<const ROWS: usize, const FMA: bool>(gates: &[f32], ups: &mut [f32]) {
    for (up, &gate) in ups.iter_mut().zip(gates) {
        *up *= gate * sigmoid::<FMA>(gate);
    }
}

#[inline(always)]
fn see_body<const ROWS: usize, const FMA: bool>(ups: &[f32], links: &[i32], stencil: &[f32], out: &mut [f32]) {
    let inner = stencil.len() / TAPS;
    let (links, _) = links.as_chunks::<TAPS>();
    for (links, out) in links.iter().zip(out.chunks_exact_mut(inner)) {
        let rows: [&[f32]; TAPS] = links.map(|link| &ups[link as usize * inner..][..inner]);
        let (whole, rest) = out.as_chunks_mut::<PANEL>();
        for (index, out) in whole.iter_mut().enumerate() {
            let mut sums = [0.0; PANEL];
            for (row, stencil) in rows.iter().zip(stencil.chunks_exact(inner)) {
                let (values, weights) = (&row.as_chunks::<PANEL>().0[index], &stencil.as_chunks::<PANEL>().0[index]);
                for ((sum, &value), &weight) in sums.iter_mut().zip(values).zip(weights) {
                    *sum = multiply_add::<FMA>(value, weight, *sum);
                }
            }
            *out = sums;
        }
        let begin = inner - rest.len();
        for (channel, out) in (begin..).zip(rest) {
            *out = rows
                .iter()
                .zip(stencil.chunks_exact(inner))
                .fold(0.0, |sum, (row, stencil)| multiply_add::<FMA>(row[channel], stencil[channel], sum));
        }
    }
}

/// Sum of the squares, in an order that has eight sums side by side.
#[inline(always)]
fn square_sum<const FMA: bool>(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for chunk in chunks {
        for (sum, &value) in sums.iter_mut().zip(chunk) {
            *sum = multiply_add::<FMA>(value, value, *sum);
        }
    }
    let pairs: [f32; 4] = std::array::from_fn(|lane| sums[lane] + sums[lane + 4]);
    let rest: f32 = rest.iter().map(|value| value * value).sum();
    (pairs[0] + pairs[1]) + (pairs[2] + pairs[3]) + rest
}

#[inline(always)]
fn normalize<const FMA: bool>(row: &mut [f32], eps: f32) {
    let scale = 1.0 / (square_sum::<FMA>(row) / row.len() as f32 + eps).sqrt();
    for value in row {
        *value *= scale;
    }
}

#[inline(always)]
fn residual_norm_body<const ROWS: usize, const FMA: bool>(x: &[f32], out: &mut [f32], width: usize, eps: f32) {
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        out.iter_mut().zip(x).for_each(|(out, &x)| *out += x);
        normalize::<FMA>(out, eps);
    }
}

#[inline(always)]
fn answered_norm_body<const ROWS: usize, const FMA: bool>(
    x: &[f32],
    answers: &[f32],
    links: &[i32],
    out: &mut [f32],
    width: usize,
    eps: f32,
) {
    let (links, _) = links.as_chunks::<4>();
    let rows = x.chunks_exact(width).zip(links).zip(out.chunks_exact_mut(width));
    for ((x, links), out) in rows {
        let [first, second, third, fourth] = links.map(|unit| &answers[unit as usize * width..][..width]);
        let answers = first.iter().zip(second).zip(third.iter().zip(fourth));
        for ((out, &x), ((&first, &second), (&third, &fourth))) in out.iter_mut().zip(x).zip(answers) {
            *out = x + ((first + second) + (third + fourth));
        }
        normalize::<FMA>(out, eps);
    }
}

#[inline(always)]
fn pool_body<const ROWS: usize, const FMA: bool>(
    sent: &[f32],
    links: &[i32],
    pooled: &mut [f32],
    pool_size: usize,
    sum_scale: f32,
) {
    let half = pool_size / 2;
    for unit in pooled.chunks_exact_mut(pool_size) {
        unit[..half].fill(0.0);
        unit[half..].fill(f32::NEG_INFINITY);
    }
    let (links, _) = links.as_chunks::<4>();
    for (sent, links) in sent.chunks_exact(3 * pool_size).zip(links) {
        for (&unit, part) in links.iter().zip([0, 1, 1, 2]) {
            let (sums, maxima) = sent[part * pool_size..][..pool_size].split_at(half);
            let (to_sums, to_maxima) = pooled[unit as usize * pool_size..][..pool_size].split_at_mut(half);
            to_sums.iter_mut().zip(sums).for_each(|(sum, &value)| *sum += value);
            to_maxima
                .iter_mut()
                .zip(maxima)
                .for_each(|(most, &value)| *most = if value > *most { value } else { *most });
        }
    }
    for unit in pooled.chunks_exact_mut(pool_size) {
        unit[..half].iter_mut().for_each(|sum| *sum *= sum_scale);
    }
}
