// The kernels of gemm.h.

#include "gemm.h"

#include "tiles.h"

#include <algorithm>

namespace trainer {
namespace {

// Calls `body(first row, constant height)` for tiles of VECTORS vectors.
template <int VECTORS, class Body>
[[gnu::always_inline]] inline void for_tiles(int64_t rows, const Body& body) {
  for_pieces<VECTORS == 1 ? 16 : VECTORS == 2 ? ROWS_OF_TWO : VECTORS == 3 ? 8 : ROWS_OF_FOUR>(rows, body);
}

// One panel, whose last vector has the columns of `mask`.
template <int VECTORS>
void product_of_panel(int64_t rows, int64_t pairs, const bf16* a, int64_t lda, const uint32_t* b, float* c, int64_t ldc,
                      __mmask16 mask, bool add) {
  for_tiles<VECTORS>(rows, [&](int64_t first, auto height) INLINE {
    Tile<height(), VECTORS> tile = multiply<height(), VECTORS>(a + first * lda, lda, 0, b, pairs);
    unrolled<height()>([&](auto row) INLINE {
      unrolled<VECTORS>([&](auto vector) INLINE {
        float* to = c + (first + row) * ldc + vector * LANES;
        const __mmask16 columns = vector + 1 == VECTORS ? mask : __mmask16{0xffff};
        Vector sum = tile.at[row][vector];
        if (add) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(columns, to));
        _mm512_mask_storeu_ps(to, columns, sum);
      });
    });
  });
}

void product(int64_t rows, int64_t columns, int64_t pairs, const bf16* a, int64_t lda, const uint32_t* b, float* c,
             int64_t ldc, bool add) {
  for (int64_t first = 0; first < columns; first += PANEL_COLUMNS) {
    const int64_t left = std::min(PANEL_COLUMNS, columns - first), vectors = (left + LANES - 1) / LANES;
    const auto mask = static_cast<__mmask16>(0xffffu >> (vectors * LANES - left));
    with_constant(
        vectors,
        [&](auto count) INLINE {
          product_of_panel<count()>(rows, pairs, a, lda, b + first * pairs, c + first, ldc, mask, add);
        },
        std::make_integer_sequence<int, 4>{});
  }
}

template <int VECTORS>
void rounded_product_of_panel(int64_t rows, int64_t pairs, const bf16* a, int64_t lda, const uint32_t* b,
                              const bf16* residual, bf16* out, int64_t ld) {
  for_tiles<VECTORS>(rows, [&](int64_t first, auto height) INLINE {
    const Tile<height(), VECTORS> tile = multiply<height(), VECTORS>(a + first * lda, lda, 0, b, pairs);
    unrolled<height()>([&](auto row) INLINE {
      unrolled<VECTORS / 2>([&](auto half) INLINE {
        constexpr int vector = 2 * half();
        const int64_t at = (first + row) * ld + vector * LANES;
        Bits bits = narrow(tile.pair(row, vector));
        if (residual) bits = narrow(widen(bits) + widen(load(residual + at)));
        store(out + at, bits);
      });
    });
  });
}

void product_rounded(int64_t rows, int64_t columns, int64_t pairs, const bf16* a, int64_t lda, const uint32_t* b,
                     const bf16* residual, bf16* out, int64_t ld) {
  for (int64_t first = 0; first < columns; first += PANEL_COLUMNS) {
    const bf16* added = residual ? residual + first : nullptr;
    if (columns - first >= PANEL_COLUMNS) {
      rounded_product_of_panel<4>(rows, pairs, a, lda, b + first * pairs, added, out + first, ld);
    } else {
      rounded_product_of_panel<2>(rows, pairs, a, lda, b + first * pairs, added, out + first, ld);
    }
  }
}

void pack(const bf16* in, int64_t rows, int64_t columns, int64_t ld, uint32_t* out, int64_t panel_words) {
  for (int64_t first = 0; first < columns; first += PANEL_COLUMNS, out += panel_words) {
    const int64_t width = std::min(PANEL_COLUMNS, columns - first);
    for (int64_t row = 0; row < rows; row += 2) {
      for (int64_t column = 0; column < width; column += VALUES) {
        const bf16* from = in + row * ld + first + column;
        const Bits upper = load(from), lower = row + 1 < rows ? load(from + ld) : _mm512_setzero_si512();
        uint32_t* to = out + row / 2 * width + column;
        store(to, low_pairs(upper, lower));
        store(to + LANES, high_pairs(upper, lower));
      }
    }
  }
}

void pack_transposed(const bf16* in, int64_t rows, int64_t columns, int64_t ld, uint32_t* out) {
  for (int64_t first = 0; first < rows; first += PANEL_COLUMNS, out += PANEL_COLUMNS * (columns / 2)) {
    const int64_t left = std::min(PANEL_COLUMNS, rows - first), width = (left + LANES - 1) / LANES * LANES;
    for (int64_t row = 0; row < left; row += LANES) {
      const int64_t count = std::min(LANES, left - row);
      for (int64_t column = 0; column < columns; column += VALUES) {
        const bf16* from = in + (first + row) * ld + column;
        Bits words[LANES];
        for (int64_t i = 0; i < LANES; ++i) words[i] = i < count ? load(from + i * ld) : _mm512_setzero_si512();
        transpose_words(words);
        for (int64_t i = 0; i < LANES; ++i) store(out + (column / 2 + i) * width + row, words[i]);
      }
    }
  }
}

void transpose(const bf16* in, int64_t rows, int64_t columns, int64_t ld, bf16* out, int64_t ld_out) {
  for (int64_t row = 0; row < rows; row += VALUES) {
    const int64_t count = std::min(VALUES, rows - row), pairs = (count + 1) / 2;
    const auto mask = static_cast<__mmask16>(0xffffu >> (LANES - pairs));
    for (int64_t column = 0; column < columns; column += VALUES) {
      Bits low[LANES], high[LANES];
      for (int64_t i = 0; i < LANES; ++i) {
        const bf16* from = in + (row + 2 * i) * ld + column;
        const Bits upper = 2 * i < count ? load(from) : _mm512_setzero_si512();
        const Bits lower = 2 * i + 1 < count ? load(from + ld) : _mm512_setzero_si512();
        low[i] = low_pairs(upper, lower);
        high[i] = high_pairs(upper, lower);
      }
      transpose_words(low);
      transpose_words(high);
      for (int64_t i = 0; i < LANES; ++i) {
        _mm512_mask_storeu_epi32(out + (column + i) * ld_out + row, mask, low[i]);
        _mm512_mask_storeu_epi32(out + (column + LANES + i) * ld_out + row, mask, high[i]);
      }
    }
  }
}

}  // namespace

extern const GemmKernels gemm_kernels_avx512_bf16;
const GemmKernels gemm_kernels_avx512_bf16 = {product, product_rounded, pack, pack_transposed, transpose};

}  // namespace trainer
