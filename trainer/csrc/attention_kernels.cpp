// The kernels of attention_kernels.h. Rounding happens where the plain path of backend.rs and libtorch's own attention
// round.

#include "attention_kernels.h"

#include "avx512.h"

#include <algorithm>

namespace trainer {
namespace {

// One vector of values.
inline __m256i narrow(Vector values) { return (__m256i)_mm512_cvtneps_pbh(values); }
inline Vector widened(const bf16* from) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
inline void store(bf16* to, __m256i bits) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bits); }

// Words with `low` in their lower and `high` in their upper halves.
inline Bits paired(__m256i low, __m256i high) {
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

void rotate(bf16* values, int64_t ld, int64_t rows, int64_t columns, int64_t head_dim, const float* cos,
            const float* sin, float direction) {
  const int64_t half = head_dim / 2;
  const Vector sign = constant(direction);
  for (int64_t row = 0; row < rows; ++row, values += ld) {
    for (int64_t i = 0; i < half; i += LANES) {
      const Vector c = load(cos + row * half + i), s = _mm512_mul_ps(sign, load(sin + row * half + i));
      for (int64_t at = i; at < columns; at += head_dim) {
        const Vector first = widened(values + at), second = widened(values + at + half);
        store(values + at, narrow(_mm512_sub_ps(_mm512_mul_ps(first, c), _mm512_mul_ps(second, s))));
        store(values + at + half, narrow(_mm512_add_ps(_mm512_mul_ps(second, c), _mm512_mul_ps(first, s))));
      }
    }
  }
}

void softmax(const float* scores, int64_t ld, int64_t rows, int64_t keys, float scale, bool first, float* peak,
             float* sum, float* shrink, bf16* weights) {
  const Vector factor = constant(scale), lowest = constant(-__builtin_inff());
  const int64_t last = (keys - 1) / LANES * LANES;
  const __mmask16 tail = lanes(last, keys);
  for (int64_t row = 0; row < rows; ++row, scores += ld, weights += ld) {
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
    const Vector factor = constant(divisors ? 1.0f / divisors[row] : 1.0f);
    for (int64_t i = 0; i < columns; i += LANES) store(out + i, narrow(_mm512_mul_ps(load(in + i), factor)));
  }
}

void dots(const bf16* a, int64_t lda, const bf16* b, int64_t ldb, int64_t rows, int64_t columns, float* out) {
  for (int64_t row = 0; row < rows; ++row, a += lda, b += ldb) {
    Vector sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < columns; i += LANES) sum = _mm512_fmadd_ps(widened(a + i), widened(b + i), sum);
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
                      const float* logsum, const float* dots, uint32_t* weight_panels, uint32_t* dscore_panels,
                      bf16* dscores) {
  constexpr float LN_2 = 0.693147180559945309f;
  const Vector factor = constant(scale), slope = constant(scale * LN_2);
  const int64_t pairs = (rows + 1) / 2, columns = whole_vectors(keys);
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
      store(dscores + row * ld + i, kept(a.dscore));
      if (!single) {
        b = score_gradient(scores1 + i, dweights1 + i, factor, logsum1, dot1, slope);
        store(dscores + (row + 1) * ld + i, kept(b.dscore));
      }
      const int64_t panel = i / PANEL_COLUMNS * PANEL_COLUMNS, width = std::min(PANEL_COLUMNS, columns - panel);
      const int64_t word = panel * pairs + row / 2 * width + i - panel;
      store(weight_panels + word, paired(kept(a.weight), kept(b.weight)));
      store(dscore_panels + word, paired(kept(a.dscore), kept(b.dscore)));
    }
  }
}

void round_transposed(const float* in, int64_t ld, int64_t rows, int64_t columns, bf16* out, int64_t ld_out) {
  for (int64_t column = 0; column < columns; column += LANES) {
    const int64_t count = std::min(LANES, columns - column);
    for (int64_t row = 0; row < rows; row += LANES) {
      Bits words[LANES];
      for (int64_t i = 0; i < LANES; ++i) {
        words[i] = _mm512_maskz_loadu_epi32(lanes(column, columns), in + (row + i) * ld + column);
      }
      transpose_words(words);
      for (int64_t i = 0; i < count; ++i) {
        store(out + (column + i) * ld_out + row, narrow(_mm512_castsi512_ps(words[i])));
      }
    }
  }
}

}  // namespace

extern const AttentionKernels attention_kernels_avx512_bf16;
const AttentionKernels attention_kernels_avx512_bf16 = {
    rotate, softmax, multiply_rows, divide_rows, dots, softmax_backward, round_transposed,
};

}  // namespace trainer
