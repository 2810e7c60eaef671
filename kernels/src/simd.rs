//! Vectors of 16 words and the few operations that the kernels are made of.
//! Owns the way from arrays into registers and back; leaves loops to the kernels.
//!
//! The functions are safe to call where the instructions are known to exist, which `swiglu` checks once per operation.

use std::arch::x86_64::{
    __m512, __m512i, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEG_INF, _mm_storeu_si128, _mm512_add_epi32, _mm512_add_ps,
    _mm512_cvtepi32_epi8, _mm512_cvtps_epi32, _mm512_fmadd_ps, _mm512_load_si512, _mm512_loadu_ps, _mm512_mul_ps,
    _mm512_rcp14_ps, _mm512_reduce_ps, _mm512_scalef_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_store_si512,
    _mm512_storeu_ps,
};

/// Values of a vector.
pub(crate) const LANES: usize = 16;
/// Vectors across which a product is computed at once.
pub(crate) const WIDTH: usize = 4;
/// Columns of a panel.
pub(crate) const PANEL: usize = WIDTH * LANES;

/// Sixteen words, each four bytes of neighbouring rows, where loads never cross a cache line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct Words(pub(crate) [i32; LANES]);

impl Words {
    pub(crate) const ZERO: Self = Self([0; LANES]);
}

/// A row of a panel: four rows of a matrix, [`PANEL`] columns.
pub(crate) type PanelRow = [Words; WIDTH];
/// A vector of float32 across a panel.
pub(crate) type Row = [__m512; WIDTH];
/// Sums of a product across a panel.
pub(crate) type Sums = [__m512i; WIDTH];

/// What is added to an integer between -127 and 127 so that it is stored without a sign.
pub(crate) const OFFSET: i32 = 128;
/// Magnitude that the largest value of a scale becomes.
pub(crate) const LARGEST: f32 = 127.0;

#[inline]
#[target_feature(enable = "avx512f")]
#[expect(unsafe_code, reason = "an aligned array of 64 bytes is what the instruction reads")]
pub(crate) fn load_words(from: &Words) -> __m512i {
    // SAFETY: `Words` is 64 bytes at an address that is a multiple of 64.
    unsafe { _mm512_load_si512(from.0.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
#[expect(unsafe_code, reason = "an aligned array of 64 bytes is what the instruction writes")]
pub(crate) fn store_words(to: &mut Words, words: __m512i) {
    // SAFETY: `Words` is 64 bytes at an address that is a multiple of 64.
    unsafe { _mm512_store_si512(to.0.as_mut_ptr().cast(), words) }
}

#[inline]
#[target_feature(enable = "avx512f")]
#[expect(unsafe_code, reason = "an array of 64 bytes is what the instruction reads")]
pub(crate) fn load(from: &[f32; LANES]) -> __m512 {
    // SAFETY: 16 values are 64 bytes; the instruction asks for no alignment.
    unsafe { _mm512_loadu_ps(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
#[expect(unsafe_code, reason = "an array of 64 bytes is what the instruction writes")]
pub(crate) fn store(to: &mut [f32; LANES], values: __m512) {
    // SAFETY: 16 values are 64 bytes; the instruction asks for no alignment.
    unsafe { _mm512_storeu_ps(to.as_mut_ptr(), values) }
}

/// Integers of 0 to 255 as bytes.
#[inline]
#[target_feature(enable = "avx512f")]
#[expect(unsafe_code, reason = "an array of 16 bytes is what the instruction writes")]
pub(crate) fn store_bytes(to: &mut [u8; LANES], integers: __m512i) {
    // SAFETY: the instruction writes 16 bytes and asks for no alignment.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(integers)) }
}

/// `values · inverse_scale` to the nearest integer, [`OFFSET`] added.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn quantized(values: __m512, inverse_scale: __m512) -> __m512i {
    _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(values, inverse_scale)), _mm512_set1_epi32(OFFSET))
}

/// `gate / (1 + exp(-gate)) · up`, the quotient with a relative error below 1.4e-4: a thirtieth of half a step of the
/// integers that it becomes.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
pub(crate) fn silu_product(gate: __m512, up: __m512) -> __m512 {
    let power = _mm512_mul_ps(gate, _mm512_set1_ps(-std::f32::consts::LOG2_E));
    // The power without its floor; scalef multiplies by two to the power of that floor.
    let fraction = _mm512_reduce_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(power);
    // 2^fraction on [0, 1), minimax in relative error: 7.5e-5.
    let exp = _mm512_fmadd_ps(fraction, _mm512_set1_ps(7.802_452e-2), _mm512_set1_ps(2.260_671_6e-1));
    let exp = _mm512_fmadd_ps(exp, fraction, _mm512_set1_ps(6.958_335e-1));
    let exp = _mm512_fmadd_ps(exp, fraction, _mm512_set1_ps(9.999_252e-1));
    let sigmoid = _mm512_rcp14_ps(_mm512_add_ps(_mm512_scalef_ps(exp, power), _mm512_set1_ps(1.0)));
    _mm512_mul_ps(_mm512_mul_ps(gate, sigmoid), up)
}
