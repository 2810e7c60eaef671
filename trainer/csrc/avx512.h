// Vectors of AVX-512 and their conversions to bfloat16; only for files that are compiled for these instructions.
// Owns arithmetic on registers; leaves memory layouts and loops to the kernels. Rounding happens where the plain path of
// backend.rs rounds; conversions treat subnormal values as zero, as the matrix products do.
#pragma once

#include "kernels.h"

#include <immintrin.h>

#include <type_traits>
#include <utility>

// For lambda expressions.
#define INLINE __attribute__((always_inline))

namespace trainer {
// Without a name: the linker must not hand these instructions to a file that is compiled for every processor.
namespace {

// Calls `body` with 0 to COUNT - 1 as constants: arrays indexed by them stay in registers.
template <int COUNT, class Body>
[[gnu::always_inline]] inline void unrolled(const Body& body) {
  [&]<int... INDEX>(std::integer_sequence<int, INDEX...>) INLINE {
    (body(std::integral_constant<int, INDEX>{}), ...);
  }(std::make_integer_sequence<int, COUNT>{});
}

using Vector = __m512;
// 32 bfloat16 values in order, or 16 words.
using Bits = __m512i;

constexpr int64_t VALUES = 32;

struct alignas(64) Indices {
  uint16_t at[32];
};

// Words made of the lower (upper) halves of two vectors of values: those of the first below those of the second.
constexpr Indices pair_indices(int first) {
  Indices indices{};
  for (int i = 0; i < 16; ++i) {
    indices.at[2 * i] = static_cast<uint16_t>(first + i);
    indices.at[2 * i + 1] = static_cast<uint16_t>(VALUES + first + i);
  }
  return indices;
}

// Where the upper halves of words come from when values are widened; the lower ones are zero.
constexpr Indices wide_indices(int first) {
  Indices indices{};
  for (int i = 0; i < 16; ++i) indices.at[2 * i + 1] = static_cast<uint16_t>(first + i);
  return indices;
}

constexpr Indices LOW_PAIRS = pair_indices(0), HIGH_PAIRS = pair_indices(16);
constexpr Indices LOW_WIDE = wide_indices(0), HIGH_WIDE = wide_indices(16);

inline Bits bits_of(const Indices& indices) { return _mm512_load_si512(&indices); }

inline Vector constant(float value) { return _mm512_set1_ps(value); }
inline Vector load(const float* from) { return _mm512_loadu_ps(from); }
inline Bits load(const bf16* from) { return _mm512_loadu_si512(from); }
inline Bits load(const uint32_t* from) { return _mm512_loadu_si512(from); }
inline void store(float* to, Vector value) { _mm512_storeu_ps(to, value); }
inline void store(bf16* to, Bits bits) { _mm512_storeu_si512(to, bits); }
inline void store(uint32_t* to, Bits bits) { _mm512_storeu_si512(to, bits); }

// Asks for what is read after the next product.
inline void prefetch(const bf16* from, int64_t count) {
  for (int64_t at = 0; at < count; at += VALUES) _mm_prefetch(reinterpret_cast<const char*>(from + at), _MM_HINT_T0);
}

// Two vectors as float32.
struct Pair {
  Vector low, high;
};

inline Bits narrow(const Pair& values) { return (Bits)_mm512_cvtne2ps_pbh(values.high, values.low); }

inline Pair widen(Bits bits) {
  const auto half = [&](const Indices& indices) {
    return _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xaaaaaaaau, bits_of(indices), bits));
  };
  return {half(LOW_WIDE), half(HIGH_WIDE)};
}

// To the precision of bfloat16 and back.
inline Pair rounded(const Pair& values) { return widen(narrow(values)); }

inline Bits low_pairs(Bits first, Bits second) { return _mm512_permutex2var_epi16(first, bits_of(LOW_PAIRS), second); }
inline Bits high_pairs(Bits first, Bits second) {
  return _mm512_permutex2var_epi16(first, bits_of(HIGH_PAIRS), second);
}

inline Pair operator+(const Pair& a, const Pair& b) {
  return {_mm512_add_ps(a.low, b.low), _mm512_add_ps(a.high, b.high)};
}
inline Pair operator*(const Pair& a, const Pair& b) {
  return {_mm512_mul_ps(a.low, b.low), _mm512_mul_ps(a.high, b.high)};
}
inline Pair operator*(const Pair& a, Vector b) { return {_mm512_mul_ps(a.low, b), _mm512_mul_ps(a.high, b)}; }

// 1 / (1 + exp(-x)) with a relative error below 1.4e-4, a fourteenth of the half unit that rounding to bfloat16 takes.
inline Vector sigmoid(Vector x) {
  const Vector y = _mm512_mul_ps(x, constant(-1.44269504088896341f));
  // y without its floor; scalef multiplies by two to the power of that floor.
  const Vector f = _mm512_reduce_ps(y, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  // 2^f on [0, 1), minimax in relative error: 7.5e-5.
  Vector p = _mm512_fmadd_ps(f, constant(7.802452266e-2f), constant(2.260671554e-1f));
  p = _mm512_fmadd_ps(p, f, constant(6.958335405e-1f));
  p = _mm512_fmadd_ps(p, f, constant(9.999252186e-1f));
  return _mm512_rcp14_ps(_mm512_add_ps(_mm512_scalef_ps(p, y), constant(1.0f)));
}

inline Pair sigmoid(const Pair& x) { return {sigmoid(x.low), sigmoid(x.high)}; }

// silu(gate) * up, both already rounded.
inline Bits act_of(Bits gate, Bits up) {
  const Pair g = widen(gate);
  return narrow(rounded(g * sigmoid(g)) * widen(up));
}

// Transposes 16 vectors of 16 words in place.
[[gnu::always_inline]] inline void transpose_words(Bits (&rows)[16]) {
  Bits swapped[16];
  unrolled<8>([&](auto half) INLINE {
    constexpr int i = 2 * half();
    swapped[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    swapped[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  });
  // rows[4 i + j]: in lane l the words 4 l + j of rows 4 i to 4 i + 3.
  unrolled<4>([&](auto quarter) INLINE {
    constexpr int i = 4 * quarter();
    rows[i] = _mm512_unpacklo_epi64(swapped[i], swapped[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(swapped[i], swapped[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(swapped[i + 1], swapped[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(swapped[i + 1], swapped[i + 3]);
  });
  unrolled<4>([&](auto j) INLINE {
    const Bits low_of_upper = _mm512_shuffle_i32x4(rows[j], rows[4 + j], 0x88);
    const Bits high_of_upper = _mm512_shuffle_i32x4(rows[j], rows[4 + j], 0xdd);
    const Bits low_of_lower = _mm512_shuffle_i32x4(rows[8 + j], rows[12 + j], 0x88);
    const Bits high_of_lower = _mm512_shuffle_i32x4(rows[8 + j], rows[12 + j], 0xdd);
    swapped[j] = _mm512_shuffle_i32x4(low_of_upper, low_of_lower, 0x88);
    swapped[8 + j] = _mm512_shuffle_i32x4(low_of_upper, low_of_lower, 0xdd);
    swapped[4 + j] = _mm512_shuffle_i32x4(high_of_upper, high_of_lower, 0x88);
    swapped[12 + j] = _mm512_shuffle_i32x4(high_of_upper, high_of_lower, 0xdd);
  });
  unrolled<16>([&](auto i) INLINE { rows[i] = swapped[i]; });
}

struct GateGradient {
  Bits act, dgate, dup;
};

inline GateGradient gate_gradient(const Pair& dact_sum, Bits gate_bits, Bits up_bits) {
  const Pair dact = rounded(dact_sum), gate = widen(gate_bits), up = widen(up_bits), s = sigmoid(gate);
  const Pair silu = rounded(gate * s);
  const auto slope = [](Vector s, Vector gate) {
    return _mm512_mul_ps(s, _mm512_fmadd_ps(gate, _mm512_sub_ps(constant(1.0f), s), constant(1.0f)));
  };
  const Pair slopes{slope(s.low, gate.low), slope(s.high, gate.high)};
  return {narrow(silu * up), narrow(rounded(dact * up) * slopes), narrow(dact * silu)};
}

}  // namespace
}  // namespace trainer
