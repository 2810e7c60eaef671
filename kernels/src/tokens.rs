//! Token mixing: weights on the left, in blocks of six, the channels of a tile on the right.
//! Owns the order of work in a tile; leaves products to `product` and tiles to `swiglu`.
//!
//! Nothing is transposed: a word of the right operand is four tokens of one channel.

use std::arch::x86_64::{
    _mm512_abs_ps, _mm512_add_ps, _mm512_cvtepi32_ps, _mm512_div_ps, _mm512_fmadd_ps, _mm512_max_ps, _mm512_mul_ps,
    _mm512_or_si512, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_sllv_epi32,
    _mm512_sqrt_ps,
};
use std::cell::RefCell;

use crate::packed::Left;
use crate::product::{MAX_ROWS, product};
use crate::simd::{
    LANES, LARGEST, PANEL, PanelRow, Row, Sums, WIDTH, Words, load, quantized, silu_product, store, store_words,
};
use crate::swiglu::SwiGlu;

/// Gates of a block, and as many ups.
const SHARE: usize = MAX_ROWS / 2;

/// Packed weights.
#[derive(Debug)]
pub(crate) struct Weights {
    inner: usize,
    gate_up: Left<MAX_ROWS>,
    down: Left<MAX_ROWS>,
}

impl Weights {
    pub(crate) fn new(swiglu: &SwiGlu<'_>) -> Self {
        Self {
            inner: swiglu.down.inputs(),
            gate_up: Left::of(&[&swiglu.gate, &swiglu.up]),
            down: Left::of(&[&swiglu.down]),
        }
    }
}

/// What a thread needs between the products of a tile; kept for its next one.
#[derive(Debug, Default)]
struct Scratch {
    panel: Vec<PanelRow>,
    /// `[inner]`
    act: Vec<[f32; PANEL]>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Channels `channel..channel + PANEL` of `x`, `[tokens, hidden_size]`, into `out`.
#[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
pub(crate) fn tile(weights: &Weights, x: &[f32], channel: usize, out: &mut [&mut [f32; PANEL]], eps: f32) {
    SCRATCH.with_borrow_mut(|scratch| {
        let Weights { inner, gate_up, down } = weights;
        let Scratch { panel, act } = scratch;
        let hidden_size = x.len() / out.len();
        let row = |token: usize| -> &[f32; PANEL] {
            x[token * hidden_size + channel..].first_chunk().expect("a tile is made of whole channels")
        };

        let scales = quantize(panel, out.len(), row);
        act.resize(*inner, [0.0; PANEL]);
        for (index, act) in act.chunks_mut(SHARE).enumerate() {
            gate(gate_up, index, panel, &scales, act);
        }
        let scales = quantize(panel, *inner, |index| &act[index]);
        let mut squares = [_mm512_setzero_ps(); WIDTH];
        let tokens = out.len();
        for (index, out) in out.chunks_mut(MAX_ROWS).enumerate() {
            let sums = product::<MAX_ROWS, false>(down.block(index), panel, starts(&down.corrections[index]));
            for (token, (out, sums)) in out.iter_mut().zip(&sums).enumerate() {
                let x = row(index * MAX_ROWS + token).as_chunks::<LANES>().0;
                let weight_scale = _mm512_set1_ps(down.scales[index][token]);
                for vector in 0..WIDTH {
                    let scale = _mm512_mul_ps(scales[vector], weight_scale);
                    let sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[vector]), scale, load(&x[vector]));
                    squares[vector] = _mm512_fmadd_ps(sum, sum, squares[vector]);
                    store(&mut out.as_chunks_mut().0[vector], sum);
                }
            }
        }
        normalize(out, squares, tokens as f32, eps);
    });
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
fn normalize(out: &mut [&mut [f32; PANEL]], squares: Row, tokens: f32, eps: f32) {
    let mut factors = squares;
    for factor in &mut factors {
        let mean = _mm512_add_ps(_mm512_div_ps(*factor, _mm512_set1_ps(tokens)), _mm512_set1_ps(eps));
        *factor = _mm512_div_ps(_mm512_set1_ps(1.0), _mm512_sqrt_ps(mean));
    }
    for out in out {
        for (values, factor) in out.as_chunks_mut().0.iter_mut().zip(factors) {
            store(values, _mm512_mul_ps(load(values), factor));
        }
    }
}

/// Rows `0..rows` in integers as the right operand; returns what those of each channel are to be multiplied with.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
fn quantize<'a>(panel: &mut Vec<PanelRow>, rows: usize, row: impl Fn(usize) -> &'a [f32; PANEL]) -> Row {
    let mut largest = [_mm512_setzero_ps(); WIDTH];
    for index in 0..rows {
        for (largest, values) in largest.iter_mut().zip(row(index).as_chunks().0) {
            *largest = _mm512_max_ps(*largest, _mm512_abs_ps(load(values)));
        }
    }
    let (mut scales, mut inverse_scales) = (largest, largest);
    for (scale, inverse) in scales.iter_mut().zip(&mut inverse_scales) {
        *scale = _mm512_div_ps(*scale, _mm512_set1_ps(LARGEST));
        // A channel of zeros has a tiny scale instead of none: its integers are zero all the same.
        let divisor = _mm512_max_ps(*scale, _mm512_set1_ps(f32::MIN_POSITIVE));
        *inverse = _mm512_div_ps(_mm512_set1_ps(1.0), divisor);
    }
    panel.resize(rows.div_ceil(4), [Words::ZERO; WIDTH]);
    for (quad, words) in panel.iter_mut().enumerate() {
        let quad = 4 * quad..rows.min(4 * quad + 4);
        for (vector, words) in words.iter_mut().enumerate() {
            let mut bytes = _mm512_setzero_si512();
            for (byte, index) in quad.clone().enumerate() {
                let values = load(&row(index).as_chunks().0[vector]);
                let integers = quantized(values, inverse_scales[vector]);
                bytes = _mm512_or_si512(bytes, _mm512_sllv_epi32(integers, _mm512_set1_epi32(8 * byte as i32)));
            }
            store_words(words, bytes);
        }
    }
    scales
}

/// What the sums of a block begin with.
#[inline]
#[target_feature(enable = "avx512f")]
fn starts(corrections: &[i32; MAX_ROWS]) -> [Sums; MAX_ROWS] {
    let mut starts = [[_mm512_setzero_si512(); WIDTH]; MAX_ROWS];
    for (start, &correction) in starts.iter_mut().zip(corrections) {
        *start = [_mm512_set1_epi32(correction); WIDTH];
    }
    starts
}

/// `silu(gate) · up` of block `index`, for its rows that exist.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
fn gate(weights: &Left<MAX_ROWS>, index: usize, panel: &[PanelRow], scales: &Row, act: &mut [[f32; PANEL]]) {
    let sums = product::<MAX_ROWS, false>(weights.block(index), panel, starts(&weights.corrections[index]));
    let weight_scales = &weights.scales[index];
    for (row, act) in act.iter_mut().enumerate() {
        let (gate_scale, up_scale) = (_mm512_set1_ps(weight_scales[row]), _mm512_set1_ps(weight_scales[SHARE + row]));
        for (vector, act) in act.as_chunks_mut().0.iter_mut().enumerate() {
            let factor = |sum, scale| _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(scales[vector], scale));
            let gate = factor(sums[row][vector], gate_scale);
            store(act, silu_product(gate, factor(sums[SHARE + row][vector], up_scale)));
        }
    }
}
