// The kernels of attention_kernels.h in AVX-512 with bfloat16 conversions. Rounding happens where the plain path of
// backend.rs and libtorch's own attention round; conversions treat subnormal values as zero, as the matrix products do.

#include "attention_kernels.h"

#include <immintrin.h>

namespace trainer {
namespace {

using Vector = __m512;

inline Vector constant(float value) { return _mm512_set1_ps(value); }
inline __m256i narrow(Vector value) { return (__m256i)_mm512_cvtneps_pbh(value); }
inline Vector widen(__m256i bits) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
inline Vector load(const float* from) { return _mm512_loadu_ps(from); }
inline Vector load(const bf16* from) { return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))); }
inline void store(float* to, Vector value) { _mm512_storeu_ps(to, value); }
inline void store(bf16* to, __m256i bits) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bits); }
inline void store(uint32_t* to, __m512i bits) { _mm512_storeu_si512(to, bits); }
// To the precision of bf16 and back.
inline Vector rounded(Vector value) { return widen(narrow(value)); }

// Words with `low` in their lower and `high` in their upper halves.
inline __m512i paired(__m256i low, __m256i high) {
  return _mm512_or_si512(_mm512_cvtepu16_epi32(low), _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
}

// The lanes of the vector that begins at `at` of `count` values.
inline __mmask16 lanes(int64_t at, int64_t count) {
  return count - at >= LANES ? 0xffff : static_cast<__mmask16>((1u << (count - at)) - 1u);
}

// 2^x for x <= 127, to 3e-6 of its value (minimax polynomial on [-1/2, 1/2]).
inline Vector power_of_two(Vector x) {
  // The constant stands first so that what is no number passes.
  const Vector y = _mm512_max_ps(constant(-150.0f), x);
  const Vector n = _mm512_roundscale_ps(y, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const Vector r = _mm512_sub_ps(y, n);
  Vector p = constant(9.5701019081e-03f);
  p = _mm512_fmadd_ps(p, r, constant(5.5917860319e-02f));
  p = _mm512_fmadd_ps(p, r, constant(2.4024744828e-01f));
  p = _mm512_fmadd_ps(p, r, constant(6.9312181474e-01f));
  p = _mm512_fmadd_ps(p, r, constant(9.9999926145e-01f));
  return _mm512_scalef_ps(p, n);
}

void rotate(const float* in, int64_t ld, int64_t rows, int64_t columns, int64_t head_dim, const float* cos,
            const float* sin, float direction, bf16* out, int64_t ld_out) {
  const int64_t half = head_dim / 2;
  const Vector sign = constant(direction);
  for (int64_t row = 0; row < rows; ++row, in += ld, out += ld_out) {
    if (!cos) {
      for (int64_t i = 0; i < columns; i += LANES) store(out + i, narrow(load(in + i)));
      continue;
    }
    for (int64_t i = 0; i < half; i += LANES) {
      const Vector c = load(cos + row * half + i), s = _mm512_mul_ps(sign, load(sin + row * half + i));
      for (int64_t at = i; at < columns; at += head_dim) {
        const Vector first = rounded(load(in + at)), second = rounded(load(in + at + half));
        store(out + at, narrow(_mm512_sub_ps(_mm512_mul_ps(first, c), _mm512_mul_ps(second, s))));
        store(out + at + half, narrow(_mm512_add_ps(_mm512_mul_ps(second, c), _mm512_mul_ps(first, s))));
      }
    }
  }
}

void softmax(const float* scores, int64_t ld, int64_t rows, int64_t keys, float scale, bool first, float* peak,
             float* sum, float* shrink, bf16* weights, int64_t ld_weights) {
  const Vector factor = constant(scale), lowest = constant(-__builtin_inff());
  const int64_t last = (keys - 1) / LANES * LANES;
  const __mmask16 tail = lanes(last, keys);
  for (int64_t row = 0; row < rows; ++row, scores += ld, weights += ld_weights) {
    Vector largest = _mm512_mask_loadu_ps(lowest, tail, scores + last);
    for (int64_t i = 0; i < last; i += LANES) largest = _mm512_max_ps(largest, load(scores + i));
    const float in_block = scale * _mm512_reduce_max_ps(largest);
    const float top = first || !(in_block < peak[row]) ? in_block : peak[row];
    const Vector offset = constant(top);
    Vector total = _mm512_setzero_ps();
    for (int64_t i = 0; i < last; i += LANES) {
      const Vector weight = power_of_two(_mm512_fmsub_ps(load(scores + i), factor, offset));
      total = _mm512_add_ps(total, weight);
      store(weights + i, narrow(weight));
    }
    const Vector weight = _mm512_maskz_mov_ps(tail, power_of_two(_mm512_fmsub_ps(load(scores + last), factor, offset)));
    total = _mm512_add_ps(total, weight);
    store(weights + last, narrow(weight));
    const float in_row = _mm512_reduce_add_ps(total);
    if (first) {
      sum[row] = in_row;
    } else {
      shrink[row] = _mm512_cvtss_f32(power_of_two(constant(peak[row] - top)));
      sum[row] = sum[row] * shrink[row] + in_row;
    }
    peak[row] = top;
  }
}

void multiply_rows(float* values, int64_t ld, int64_t rows, int64_t columns, const float* factors) {
  for (int64_t row = 0; row < rows; ++row, values += ld) {
    const Vector factor = constant(factors[row]);
    for (int64_t i = 0; i < columns; i += LANES) store(values + i, _mm512_mul_ps(load(values + i), factor));
  }
}

void divide_rows(const float* in, int64_t ld, int64_t rows, int64_t columns, const float* divisors, bf16* out,
                 int64_t ld_out) {
  for (int64_t row = 0; row < rows; ++row, in += ld, out += ld_out) {
    const Vector factor = constant(1.0f / divisors[row]);
    for (int64_t i = 0; i < columns; i += LANES) store(out + i, narrow(_mm512_mul_ps(load(in + i), factor)));
  }
}

void dots(const bf16* a, int64_t lda, const bf16* b, int64_t ldb, int64_t rows, int64_t columns, float* out) {
  for (int64_t row = 0; row < rows; ++row, a += lda, b += ldb) {
    Vector sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < columns; i += LANES) sum = _mm512_fmadd_ps(load(a + i), load(b + i), sum);
    out[row] = _mm512_reduce_add_ps(sum);
  }
}

struct ScoreGradient {
  __m256i weight, dscore;
};

inline ScoreGradient score_gradient(const float* scores, const float* dweights, Vector scale, Vector logsum,
                                    Vector dot, Vector slope) {
  const Vector weight = power_of_two(_mm512_fmsub_ps(load(scores), scale, logsum));
  const Vector above = _mm512_mul_ps(_mm512_sub_ps(load(dweights), dot), slope);
  return {narrow(weight), narrow(_mm512_mul_ps(weight, above))};
}

void softmax_backward(const float* scores, const float* dweights, int64_t ld, int64_t rows, int64_t keys, float scale,
                      const float* logsum, const float* dots, uint32_t* weight_pairs, uint32_t* dscore_pairs,
                      int64_t ld_pairs, bf16* dscores, int64_t ld_rows) {
  constexpr float LN_2 = 0.693147180559945309f;
  const Vector factor = constant(scale), slope = constant(scale * LN_2);
  for (int64_t row = 0; row < rows; row += 2) {
    const bool single = row + 1 == rows;
    const Vector logsum0 = constant(logsum[row]), logsum1 = constant(single ? 0.0f : logsum[row + 1]);
    const Vector dot0 = constant(dots[row]), dot1 = constant(single ? 0.0f : dots[row + 1]);
    const float *scores0 = scores + row * ld, *scores1 = scores0 + ld;
    const float *dweights0 = dweights + row * ld, *dweights1 = dweights0 + ld;
    for (int64_t i = 0; i < keys; i += LANES) {
      const __mmask16 mask = lanes(i, keys);
      const auto kept = [&](__m256i bits) { return _mm256_maskz_mov_epi16(mask, bits); };
      const ScoreGradient a = score_gradient(scores0 + i, dweights0 + i, factor, logsum0, dot0, slope);
      ScoreGradient b = {_mm256_setzero_si256(), _mm256_setzero_si256()};
      store(dscores + row * ld_rows + i, kept(a.dscore));
      if (!single) {
        b = score_gradient(scores1 + i, dweights1 + i, factor, logsum1, dot1, slope);
        store(dscores + (row + 1) * ld_rows + i, kept(b.dscore));
      }
      const int64_t pair = row / 2 * ld_pairs + i;
      store(weight_pairs + pair, paired(kept(a.weight), kept(b.weight)));
      store(dscore_pairs + pair, paired(kept(a.dscore), kept(b.dscore)));
    }
  }
}

// Sixteen rows of sixteen words, transposed in place.
inline void transpose_tile(__m512i (&r)[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

void transpose_words(const uint32_t* in, int64_t ld, int64_t rows, int64_t columns, uint32_t* out, int64_t ld_out) {
  for (int64_t row = 0; row < rows; row += LANES) {
    for (int64_t column = 0; column < columns; column += LANES) {
      const __mmask16 present = lanes(column, columns);
      __m512i tile[16];
      for (int64_t i = 0; i < LANES; ++i) {
        const bool inside = row + i < rows;
        tile[i] = _mm512_maskz_loadu_epi32(inside ? present : 0, in + (inside ? row + i : row) * ld + column);
      }
      transpose_tile(tile);
      for (int64_t i = 0; i < LANES && column + i < columns; ++i) store(out + (column + i) * ld_out + row, tile[i]);
    }
  }
}

void transpose(const bf16* in, int64_t ld, int64_t rows, int64_t columns, bf16* out, int64_t ld_out) {
  constexpr int64_t TALL = 2 * LANES;
  for (int64_t row = 0; row < rows; row += TALL) {
    const int64_t words = (rows - row + 1) / 2;
    for (int64_t column = 0; column < columns; column += LANES) {
      __m512i tile[16];
      for (int64_t i = 0; i < LANES; ++i) {
        const int64_t at = row + 2 * i;
        const auto line = [&](int64_t r) {
          return r < rows ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + r * ld + column))
                          : _mm256_setzero_si256();
        };
        tile[i] = paired(line(at), line(at + 1));
      }
      transpose_tile(tile);
      for (int64_t i = 0; i < LANES; ++i) {
        _mm512_mask_storeu_epi32(out + (column + i) * ld_out + row, lanes(0, words), tile[i]);
      }
    }
  }
}

void pack_pairs(const bf16* in, int64_t ld, int64_t rows, int64_t columns, uint32_t* out) {
  for (int64_t row = 0; row < rows; row += 2, in += 2 * ld, out += columns) {
    const bool single = row + 1 == rows;
    for (int64_t i = 0; i < columns; i += LANES) {
      const auto bits = [&](const bf16* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i)); };
      store(out + i, paired(bits(in), single ? _mm256_setzero_si256() : bits(in + ld)));
    }
  }
}

void add_rounded(const float* in, const bf16* residual, bf16* out, int64_t count) {
  for (int64_t i = 0; i < count; i += LANES) {
    store(out + i, narrow(_mm512_add_ps(rounded(load(in + i)), load(residual + i))));
  }
}

void residual_norm(const bf16* x, const float* delta, int64_t rows, int64_t columns, bf16* y, float* rstd, float eps) {
  for (int64_t row = 0; row < rows; ++row, x += columns, delta += columns, y += columns) {
    Vector squares = _mm512_setzero_ps();
    for (int64_t i = 0; i < columns; i += LANES) {
      const __m256i bits = narrow(_mm512_add_ps(load(x + i), rounded(load(delta + i))));
      const Vector sum = widen(bits);
      squares = _mm512_fmadd_ps(sum, sum, squares);
      store(y + i, bits);
    }
    const float variance = _mm512_reduce_add_ps(squares) / static_cast<float>(columns);
    const float factor = 1.0f / __builtin_sqrtf(variance + eps);
    rstd[row] = factor;
    const Vector scale = constant(factor);
    for (int64_t i = 0; i < columns; i += LANES) store(y + i, narrow(_mm512_mul_ps(load(y + i), scale)));
  }
}

}  // namespace

extern const AttentionKernels attention_kernels_avx512_bf16;
const AttentionKernels attention_kernels_avx512_bf16 = {
    rotate,          softmax,   multiply_rows, divide_rows, dots,          softmax_backward,
    transpose_words, transpose, pack_pairs,    add_rounded, residual_norm,
};

}  // namespace trainer
