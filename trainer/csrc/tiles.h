// Tiles of a product of bfloat16 matrices that stay in registers until an epilogue has taken them.
// Owns the inner loop and how rows are cut into tiles; leaves layouts and what becomes of the sums to the kernels.
#pragma once

#include "avx512.h"

#include <cstring>

namespace trainer {
namespace {

// Rows of a tile of four (two) vectors: 24 sums fill the registers and hide the latency of a product.
constexpr int64_t ROWS_OF_FOUR = 6, ROWS_OF_TWO = 12;

template <int HEIGHT, int VECTORS>
struct Tile {
  Vector at[HEIGHT][VECTORS];

  Pair pair(int row, int vector) const { return {at[row][vector], at[row][vector + 1]}; }
};

// Multiplies HEIGHT rows of `a`, `lda` apart, with a panel `b` [pairs, 16 VECTORS] of pairs of rows. The lower half of
// the rows lies `gap` values further on than their distance says.
template <int HEIGHT, int VECTORS>
[[gnu::always_inline]] inline Tile<HEIGHT, VECTORS> multiply(const bf16* a, int64_t lda, int64_t gap, const uint32_t* b,
                                                             int64_t pairs) {
  Tile<HEIGHT, VECTORS> tile;
  unrolled<HEIGHT * VECTORS>([&](auto i) INLINE { tile.at[i / VECTORS][i % VECTORS] = _mm512_setzero_ps(); });
  for (int64_t pair = 0; pair < pairs; ++pair) {
    __m512bh columns[VECTORS];
    unrolled<VECTORS>([&](auto v) INLINE { columns[v] = (__m512bh)load(b + (pair * VECTORS + v) * LANES); });
    unrolled<HEIGHT>([&](auto row) INLINE {
      const bf16* from = a + row * lda + (HEIGHT > 1 && row >= HEIGHT / 2 ? gap : 0) + 2 * pair;
      int32_t word;
      std::memcpy(&word, from, sizeof word);
      const auto value = (__m512bh)_mm512_set1_epi32(word);
      unrolled<VECTORS>(
          [&](auto v) INLINE { tile.at[row][v] = _mm512_dpbf16_ps(tile.at[row][v], value, columns[v]); });
    });
  }
  return tile;
}

// Calls `body` with `value` as a constant of 1 to sizeof...(INDEX).
template <class Body, int... INDEX>
[[gnu::always_inline]] inline void with_constant(int64_t value, const Body& body,
                                                 std::integer_sequence<int, INDEX...>) {
  ((value == INDEX + 1 ? body(std::integral_constant<int, INDEX + 1>{}) : void()), ...);
}

// Cuts `count` into pieces of nearly equal size, at most MOST, and calls `body(first, constant size)` for each.
template <int MOST, class Body>
[[gnu::always_inline]] inline void for_pieces(int64_t count, const Body& body) {
  const int64_t pieces = (count + MOST - 1) / MOST;
  for (int64_t piece = 0; piece < pieces; ++piece) {
    const int64_t first = count * piece / pieces, next = count * (piece + 1) / pieces;
    with_constant(next - first, [&](auto size) INLINE { body(first, size); }, std::make_integer_sequence<int, MOST>{});
  }
}

}  // namespace
}  // namespace trainer
