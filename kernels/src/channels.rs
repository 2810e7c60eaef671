//! Channel mixing and plain products: tokens on the left, in blocks of up to six, weights on the right.
//! Owns the order of work in a tile; leaves products to `product` and tiles to `swiglu`.
//!
//! A panel of weights stays in the first cache while all tokens of a tile pass by.

use std::arch::x86_64::{
    __m512, _mm512_abs_ps, _mm512_cvtepi32_ps, _mm512_fmadd_ps, _mm512_max_ps, _mm512_mul_ps, _mm512_reduce_add_ps,
    _mm512_reduce_max_ps, _mm512_set1_ps, _mm512_setzero_ps,
};
use std::cell::RefCell;

use crate::packed::Right;
use crate::product::{MAX_ROWS, product};
use crate::simd::{
    LANES, LARGEST, PANEL, PanelRow, Sums, WIDTH, load, load_words, quantized, silu_product, store, store_bytes,
};
use crate::swiglu::SwiGlu;

/// Packed weights.
#[derive(Debug)]
pub(crate) struct Weights {
    width: usize,
    inner: usize,
    gate_up: Right,
    down: Right,
}

impl Weights {
    pub(crate) fn new(swiglu: &SwiGlu<'_>) -> Self {
        Self {
            width: swiglu.down.outputs(),
            inner: swiglu.down.inputs(),
            gate_up: Right::halves(&swiglu.gate, &swiglu.up),
            down: Right::whole(&swiglu.down),
        }
    }
}

/// What a thread needs between the products of a tile; kept for its next one.
#[derive(Debug, Default)]
struct Scratch {
    tokens: Tokens,
    /// `[tokens, inner]`
    act: Vec<f32>,
}

/// Activations in integers as the left operand of a product: blocks of rows, each `[quads][rows]` words.
#[derive(Debug, Default)]
struct Tokens {
    words: Vec<i32>,
    scales: Vec<f32>,
    bytes: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Row numbers of block `index` of `count`, which are as even as whole rows can be.
fn block(rows: usize, index: usize, count: usize) -> std::ops::Range<usize> {
    rows * index / count..rows * (index + 1) / count
}

/// Calls `$function::<ROWS>` for the number of rows of a block.
macro_rules! of_rows {
    ($rows:expr, $function:ident($($argument:expr),*)) => {
        match $rows {
            1 => $function::<1>($($argument),*),
            2 => $function::<2>($($argument),*),
            3 => $function::<3>($($argument),*),
            4 => $function::<4>($($argument),*),
            5 => $function::<5>($($argument),*),
            _ => $function::<MAX_ROWS>($($argument),*),
        }
    };
}

/// The product of whole tokens `x` with `weights` into `out`.
#[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
pub(crate) fn linear_tile(weights: &Right, inputs: usize, x: &[f32], out: &mut [f32]) {
    SCRATCH.with_borrow_mut(|scratch| {
        let (rows, outputs) = (x.len() / inputs, weights.scales.len());
        let (blocks, tokens) = (rows.div_ceil(MAX_ROWS), &mut scratch.tokens);
        tokens.quantize(x, inputs, blocks);
        for panel in 0..outputs / PANEL {
            for index in 0..blocks {
                let rows = block(rows, index, blocks);
                let (first, from) = (rows.start, rows.start * outputs);
                of_rows!(rows.len(), store_product(tokens, weights, panel, first, &mut out[from..], outputs));
            }
        }
    });
}

/// Whole tokens of `x` into `out`.
#[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
pub(crate) fn tile(weights: &Weights, x: &[f32], out: &mut [f32], eps: f32) {
    SCRATCH.with_borrow_mut(|scratch| {
        let Weights { width, inner, gate_up, down } = weights;
        let (width, inner) = (*width, *inner);
        let rows = x.len() / width;
        let blocks = rows.div_ceil(MAX_ROWS);
        let Scratch { tokens, act } = scratch;
        act.resize(rows * inner, 0.0);

        tokens.quantize(x, width, blocks);
        for panel in 0..inner / (PANEL / 2) {
            for index in 0..blocks {
                let rows = block(rows, index, blocks);
                let first = rows.start;
                of_rows!(rows.len(), gate(tokens, gate_up, panel, first, &mut act[first * inner..], inner));
            }
        }
        tokens.quantize(act, inner, blocks);
        for panel in 0..width / PANEL {
            for index in 0..blocks {
                let rows = block(rows, index, blocks);
                let (first, from) = (rows.start, rows.start * width);
                of_rows!(rows.len(), add_down(tokens, down, panel, first, &x[from..], &mut out[from..], width));
            }
        }
        for row in out.chunks_exact_mut(width) {
            normalize(row, eps);
        }
    });
}

impl Tokens {
    /// `values`, `[rows, columns]`, cut into so many blocks.
    #[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
    fn quantize(&mut self, values: &[f32], columns: usize, blocks: usize) {
        let (rows, quads) = (values.len() / columns, columns / 4);
        self.words.resize(rows * quads, 0);
        self.scales.resize(rows, 0.0);
        self.bytes.resize(columns, 0);
        for index in 0..blocks {
            let rows = block(rows, index, blocks);
            let words = &mut self.words[rows.start * quads..rows.end * quads];
            for row in rows.clone() {
                let row_values = &values[row * columns..(row + 1) * columns];
                self.scales[row] = quantize_row(row_values, &mut self.bytes);
                let column = words[row - rows.start..].iter_mut().step_by(rows.len());
                for (word, bytes) in column.zip(self.bytes.as_chunks::<4>().0) {
                    *word = i32::from_ne_bytes(*bytes);
                }
            }
        }
    }

    /// The block that begins with row `first`.
    fn block<const ROWS: usize>(&self, first: usize, quads: usize) -> (&[[i32; ROWS]], &[f32; ROWS]) {
        let words = &self.words[first * quads..(first + ROWS) * quads];
        let scales = self.scales[first..].first_chunk().expect("a block has its rows");
        (words.as_chunks().0, scales)
    }
}

/// The row in integers; returns what they are to be multiplied with.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
fn quantize_row(values: &[f32], bytes: &mut [u8]) -> f32 {
    let values = values.as_chunks::<LANES>().0;
    let mut largest = _mm512_setzero_ps();
    for values in values {
        largest = _mm512_max_ps(largest, _mm512_abs_ps(load(values)));
    }
    let largest = _mm512_reduce_max_ps(largest);
    let inverse_scale = _mm512_set1_ps(if largest > 0.0 { LARGEST / largest } else { 0.0 });
    for (bytes, values) in bytes.as_chunks_mut::<LANES>().0.iter_mut().zip(values) {
        store_bytes(bytes, quantized(load(values), inverse_scale));
    }
    largest / LARGEST
}

/// Products of a block with a panel, as float32 without the scales of the tokens.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
fn scaled<const ROWS: usize>(words: &[[i32; ROWS]], weights: &Right, panel: usize) -> [[__m512; WIDTH]; ROWS] {
    let start = sums_of(&weights.corrections[panel]);
    let sums = product::<ROWS, true>(words, weights.panel(panel), [start; ROWS]);
    let scales = weights.scales[panel * PANEL..].as_chunks::<LANES>().0;
    let mut scaled = [[_mm512_setzero_ps(); WIDTH]; ROWS];
    for (scaled, sums) in scaled.iter_mut().zip(&sums) {
        for ((value, sum), scale) in scaled.iter_mut().zip(sums).zip(scales) {
            *value = _mm512_mul_ps(_mm512_cvtepi32_ps(*sum), load(scale));
        }
    }
    scaled
}

#[inline]
#[target_feature(enable = "avx512f")]
fn sums_of(row: &PanelRow) -> Sums {
    let mut sums = [load_words(&row[0]); WIDTH];
    for (sum, words) in sums.iter_mut().zip(row) {
        *sum = load_words(words);
    }
    sums
}

/// A panel's columns of the product, into rows of `out` that are `outputs` apart.
#[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
fn store_product<const ROWS: usize>(
    tokens: &Tokens,
    weights: &Right,
    panel: usize,
    first: usize,
    out: &mut [f32],
    outputs: usize,
) {
    let (words, scales) = tokens.block::<ROWS>(first, weights.quads);
    let products = scaled(words, weights, panel);
    for ((out, products), &scale) in out.chunks_mut(outputs).zip(&products).zip(scales) {
        let out = out[panel * PANEL..(panel + 1) * PANEL].as_chunks_mut::<LANES>().0;
        for (out, product) in out.iter_mut().zip(products) {
            store(out, _mm512_mul_ps(*product, _mm512_set1_ps(scale)));
        }
    }
}

/// `silu(gate) · up` of half a panel each, into rows of `act` that are `inner` apart.
#[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
fn gate<const ROWS: usize>(
    tokens: &Tokens,
    weights: &Right,
    panel: usize,
    first: usize,
    act: &mut [f32],
    inner: usize,
) {
    let (words, scales) = tokens.block::<ROWS>(first, weights.quads);
    let products = scaled(words, weights, panel);
    for ((act, products), &scale) in act.chunks_mut(inner).zip(&products).zip(scales) {
        let scale = _mm512_set1_ps(scale);
        let act = &mut act[panel * PANEL / 2..].as_chunks_mut::<LANES>().0[..WIDTH / 2];
        let (gates, ups) = products.split_at(WIDTH / 2);
        for ((act, gate), up) in act.iter_mut().zip(gates).zip(ups) {
            store(act, silu_product(_mm512_mul_ps(*gate, scale), _mm512_mul_ps(*up, scale)));
        }
    }
}

/// A panel's columns of `x` and the product, into rows of `out` that are `width` apart, as those of `x`.
#[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
fn add_down<const ROWS: usize>(
    tokens: &Tokens,
    weights: &Right,
    panel: usize,
    first: usize,
    x: &[f32],
    out: &mut [f32],
    width: usize,
) {
    let (words, scales) = tokens.block::<ROWS>(first, weights.quads);
    let products = scaled(words, weights, panel);
    for (((out, x), products), &scale) in out.chunks_mut(width).zip(x.chunks(width)).zip(&products).zip(scales) {
        let scale = _mm512_set1_ps(scale);
        let columns = panel * PANEL..(panel + 1) * PANEL;
        let (out, x) = (out[columns.clone()].as_chunks_mut::<LANES>().0, x[columns].as_chunks::<LANES>().0);
        for ((out, x), product) in out.iter_mut().zip(x).zip(products) {
            store(out, _mm512_fmadd_ps(*product, scale, load(x)));
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
fn normalize(row: &mut [f32], eps: f32) {
    let width = row.len() as f32;
    let vectors = row.as_chunks_mut::<LANES>().0;
    let mut squares = _mm512_setzero_ps();
    for vector in &*vectors {
        let values = load(vector);
        squares = _mm512_fmadd_ps(values, values, squares);
    }
    let factor = _mm512_set1_ps((_mm512_reduce_add_ps(squares) / width + eps).sqrt().recip());
    for vector in vectors {
        let values = load(vector);
        store(vector, _mm512_mul_ps(values, factor));
    }
}
