// The block kernels of kernels.h in AVX-512 with bfloat16 conversions. Rounding happens where the plain path of
// backend.rs rounds; conversions treat subnormal values as zero, as the matrix products do.

#include "kernels.h"

#include <immintrin.h>

namespace trainer {
namespace {

using Vector = __m512;

inline Vector constant(float value) { return _mm512_set1_ps(value); }
inline Vector load(const float* from) { return _mm512_loadu_ps(from); }
inline __m256i narrow(Vector value) { return (__m256i)_mm512_cvtneps_pbh(value); }
inline Vector widen(__m256i bits) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
inline Vector load(const bf16* from) { return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))); }
inline void store(float* to, Vector value) { _mm512_storeu_ps(to, value); }
inline void store(bf16* to, __m256i bits) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bits); }
inline void store(uint32_t* to, __m512i bits) { _mm512_storeu_si512(to, bits); }

// Words with `low` in their lower and `high` in their upper halves.
inline __m512i paired(__m256i low, __m256i high) {
  return _mm512_or_si512(_mm512_cvtepu16_epi32(low), _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
}

// 1 / (1 + exp(-x)), to about two units in the last place of float32.
inline Vector sigmoid(Vector x) {
  // The constant stands first so that what is no number passes.
  const Vector negated = _mm512_sub_ps(_mm512_setzero_ps(), x);
  const Vector y = _mm512_min_ps(constant(87.0f), _mm512_max_ps(constant(-87.0f), negated));
  const Vector n = _mm512_roundscale_ps(_mm512_mul_ps(y, constant(1.44269504088896341f)), _MM_FROUND_TO_NEAREST_INT);
  Vector r = _mm512_fnmadd_ps(n, constant(0.693359375f), y);
  r = _mm512_fmadd_ps(n, constant(2.12194440e-4f), r);
  Vector p = constant(1.9875691500e-4f);
  p = _mm512_fmadd_ps(p, r, constant(1.3981999507e-3f));
  p = _mm512_fmadd_ps(p, r, constant(8.3334519073e-3f));
  p = _mm512_fmadd_ps(p, r, constant(4.1665795894e-2f));
  p = _mm512_fmadd_ps(p, r, constant(1.6666665459e-1f));
  p = _mm512_fmadd_ps(p, r, constant(5.0000001201e-1f));
  p = _mm512_fmadd_ps(_mm512_mul_ps(p, r), r, _mm512_add_ps(r, constant(1.0f)));
  const Vector denominator = _mm512_add_ps(_mm512_scalef_ps(p, n), constant(1.0f));
  const Vector guess = _mm512_rcp14_ps(denominator);
  return _mm512_mul_ps(guess, _mm512_fnmadd_ps(denominator, guess, constant(2.0f)));
}

// silu(gate) * up, both already rounded, as bits.
inline __m256i act_of(Vector gate, Vector up) {
  const Vector silu = widen(narrow(_mm512_mul_ps(gate, sigmoid(gate))));
  return narrow(_mm512_mul_ps(silu, up));
}

void gate(const float* gate, const float* up, int64_t ld, int64_t rows, int64_t columns, bf16* act, int64_t ld_act,
          bf16* saved_gate, bf16* saved_up, int64_t ld_saved) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = 0; i < columns; i += LANES) {
      const __m256i g = narrow(load(gate + row * ld + i)), u = narrow(load(up + row * ld + i));
      store(act + row * ld_act + i, act_of(widen(g), widen(u)));
      if (saved_gate) {
        store(saved_gate + row * ld_saved + i, g);
        store(saved_up + row * ld_saved + i, u);
      }
    }
  }
}

void gate_to_pairs(const float* gate, const float* up, int64_t ld, int64_t rows, int64_t columns, uint32_t* act_pairs,
                   int64_t ld_act, bf16* saved_gate, bf16* saved_up, int64_t ld_saved) {
  for (int64_t row = 0; row < rows; row += 2) {
    const float *gate_row = gate + row * ld, *up_row = up + row * ld;
    for (int64_t i = 0; i < columns; i += LANES) {
      const __m256i g0 = narrow(load(gate_row + i)), u0 = narrow(load(up_row + i));
      const __m256i g1 = narrow(load(gate_row + ld + i)), u1 = narrow(load(up_row + ld + i));
      store(act_pairs + row / 2 * ld_act + i, paired(act_of(widen(g0), widen(u0)), act_of(widen(g1), widen(u1))));
      if (saved_gate) {
        const int64_t at = row * ld_saved + i;
        store(saved_gate + at, g0);
        store(saved_gate + at + ld_saved, g1);
        store(saved_up + at, u0);
        store(saved_up + at + ld_saved, u1);
      }
    }
  }
}

struct GateGradient {
  __m256i act, dgate, dup;
};

inline GateGradient gate_gradient(const float* dact_at, const bf16* gate_at, const bf16* up_at) {
  const Vector dact = widen(narrow(load(dact_at))), gate = load(gate_at), up = load(up_at), one = constant(1.0f);
  const Vector s = sigmoid(gate), silu = widen(narrow(_mm512_mul_ps(gate, s)));
  const Vector slope = _mm512_mul_ps(s, _mm512_fmadd_ps(gate, _mm512_sub_ps(one, s), one));
  const Vector dsilu = widen(narrow(_mm512_mul_ps(dact, up)));
  return {narrow(_mm512_mul_ps(silu, up)), narrow(_mm512_mul_ps(dsilu, slope)), narrow(_mm512_mul_ps(dact, silu))};
}

void gate_backward(const float* dact, int64_t ld, const bf16* gate, const bf16* up, int64_t ld_saved, int64_t rows,
                   int64_t columns, bf16* dgate, bf16* dup, int64_t ld_rows, uint32_t* dgate_pairs,
                   uint32_t* dup_pairs, int64_t ld_pairs, uint32_t* act_pairs, bf16* act_rows, int64_t ld_act) {
  for (int64_t row = 0; row < rows; row += 2) {
    const bool single = row + 1 == rows;
    for (int64_t i = 0; i < columns; i += LANES) {
      const int64_t from = row * ld_saved + i, to = row * ld_rows + i, pair = row / 2 * ld_pairs + i;
      const GateGradient a = gate_gradient(dact + row * ld + i, gate + from, up + from);
      GateGradient b = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
      store(dgate + to, a.dgate);
      store(dup + to, a.dup);
      if (!single) {
        b = gate_gradient(dact + (row + 1) * ld + i, gate + from + ld_saved, up + from + ld_saved);
        store(dgate + to + ld_rows, b.dgate);
        store(dup + to + ld_rows, b.dup);
      }
      store(dgate_pairs + pair, paired(a.dgate, b.dgate));
      store(dup_pairs + pair, paired(a.dup, b.dup));
      if (act_pairs) {
        store(act_pairs + row / 2 * ld_act + i, paired(a.act, b.act));
      } else {
        store(act_rows + row * ld_act + i, a.act);
        if (!single) store(act_rows + (row + 1) * ld_act + i, b.act);
      }
    }
  }
}

void round_rows(const float* in, bf16* out, int64_t count) {
  for (int64_t i = 0; i < count; i += LANES) store(out + i, narrow(load(in + i)));
}

void add_rounded(const float* in, const bf16* residual, bf16* out, int64_t count) {
  for (int64_t i = 0; i < count; i += LANES) {
    store(out + i, narrow(_mm512_add_ps(widen(narrow(load(in + i))), load(residual + i))));
  }
}

void column_norm(const bf16* x, const float* delta, int64_t rows, int64_t columns, bf16* y, float* rstd, float eps) {
  for (int64_t i = 0; i < columns; i += LANES) {
    Vector squares = _mm512_setzero_ps();
    for (int64_t at = i; at < rows * columns; at += columns) {
      const __m256i bits = narrow(_mm512_add_ps(load(x + at), widen(narrow(load(delta + at)))));
      const Vector sum = widen(bits);
      squares = _mm512_fmadd_ps(sum, sum, squares);
      store(y + at, bits);
    }
    const Vector variance = _mm512_div_ps(squares, constant(static_cast<float>(rows)));
    const Vector scale = _mm512_div_ps(constant(1.0f), _mm512_sqrt_ps(_mm512_add_ps(variance, constant(eps))));
    store(rstd + i, scale);
    for (int64_t at = i; at < rows * columns; at += columns) store(y + at, narrow(_mm512_mul_ps(load(y + at), scale)));
  }
}

void column_norm_backward(const bf16* dy, const bf16* y, const float* rstd, int64_t rows, int64_t columns, bf16* dx,
                          uint32_t* dx_pairs) {
  for (int64_t i = 0; i < columns; i += LANES) {
    Vector along = _mm512_setzero_ps();
    for (int64_t at = i; at < rows * columns; at += columns) {
      along = _mm512_fmadd_ps(load(dy + at), load(y + at), along);
    }
    along = _mm512_div_ps(along, constant(static_cast<float>(rows)));
    const Vector scale = load(rstd + i);
    const auto gradient = [&](int64_t at) {
      return narrow(_mm512_mul_ps(scale, _mm512_fnmadd_ps(load(y + at), along, load(dy + at))));
    };
    for (int64_t row = 0; row < rows; row += 2) {
      const int64_t at = row * columns + i;
      const __m256i first = gradient(at);
      __m256i second = _mm256_setzero_si256();
      store(dx + at, first);
      if (row + 1 < rows) {
        second = gradient(at + columns);
        store(dx + at + columns, second);
      }
      store(dx_pairs + row / 2 * columns + i, paired(first, second));
    }
  }
}

void pack_pairs(const bf16* in, int64_t rows, int64_t columns, int64_t ld, uint32_t* out) {
  for (int64_t row = 0; row + 1 < rows; row += 2, in += 2 * ld, out += columns) {
    for (int64_t i = 0; i < columns; ++i) {
      out[i] = static_cast<uint32_t>(in[i]) | static_cast<uint32_t>(in[ld + i]) << 16;
    }
  }
  if (rows % 2 != 0) {
    for (int64_t i = 0; i < columns; ++i) out[i] = in[i];
  }
}

template <typename T>
void transpose_tiles(const T* in, int64_t rows, int64_t columns, T* out, int64_t ld_out) {
  constexpr int64_t tile = 16;
  for (int64_t r0 = 0; r0 < rows; r0 += tile) {
    const int64_t r1 = r0 + tile < rows ? r0 + tile : rows;
    for (int64_t c = 0; c < columns; ++c) {
      for (int64_t r = r0; r < r1; ++r) out[c * ld_out + r] = in[r * columns + c];
    }
  }
}

void transpose_words(const uint32_t* in, int64_t rows, int64_t words, uint32_t* out, int64_t ld_out) {
  transpose_tiles(in, rows, words, out, ld_out);
  for (int64_t word = 0; word < words; ++word) {
    for (int64_t r = rows; r < ld_out; ++r) out[word * ld_out + r] = 0;
  }
}

void transpose(const bf16* in, int64_t rows, int64_t columns, bf16* out, int64_t ld_out) {
  transpose_tiles(in, rows, columns, out, ld_out);
}

}  // namespace

extern const BlockKernels block_kernels_avx512_bf16;
const BlockKernels block_kernels_avx512_bf16 = {
    gate,        gate_to_pairs, gate_backward,   round_rows, add_rounded, column_norm, column_norm_backward,
    pack_pairs, transpose_words, transpose,
};

}  // namespace trainer
