// The gated MLP over channels in AVX-512 with bfloat16 products: what happens to a piece of its rows between two products.
// Owns the gates, which never leave the registers as sums, and the norm of a row; leaves pieces and scratch to blocks.cpp.

#include "blocks.h"

#include "tiles.h"

namespace trainer {
namespace {

// A panel of `gate_up_forward`: so many gates beside their ups.
static_assert(GATES_OF_PANEL * 2 == PANEL_COLUMNS && GATES_OF_PANEL == VALUES);

void gate(const MlpShape& shape, const bf16* x, const uint32_t* gate_up, bf16* act, bf16* kept,
          int64_t kept_panel) {
  const auto [rows, width, inner] = shape;
  for (int64_t g = 0; g < inner; g += GATES_OF_PANEL) {
    for_pieces<ROWS_OF_FOUR>(rows, [&, width = width, inner = inner](int64_t first, auto height) INLINE {
      const Tile<height(), 4> tile = multiply<height(), 4>(x + first * width, width, 0, gate_up + g * width, width / 2);
      unrolled<height()>([&](auto row) INLINE {
        const Bits gates = narrow(tile.pair(row, 0)), ups = narrow(tile.pair(row, 2));
        store(act + (first + row) * inner + g, act_of(gates, ups));
        if (kept) {
          bf16* to = kept + g / GATES_OF_PANEL * kept_panel + (first + row) * PANEL_COLUMNS;
          store(to, gates);
          store(to + GATES_OF_PANEL, ups);
        }
      });
    });
  }
}

// Rows 2 `pair` and, if there is a `second`, 2 `pair` + 1 of a tile of gradients of act.
template <int HEIGHT>
[[gnu::always_inline]] inline void gate_pair_backward(const Tile<HEIGHT, 4>& dact, int pair, bool second,
                                                      const bf16* kept, int64_t kept_panel, bf16* dgate_up,
                                                      int64_t inner, uint32_t* act_pairs) {
  unrolled<PANEL_COLUMNS / GATES_OF_PANEL>([&](auto panel) INLINE {
    constexpr int vector = 2 * panel;
    const bf16* of_panel = kept + panel * kept_panel;
    bf16* dgate = dgate_up + panel * GATES_OF_PANEL;
    const GateGradient a =
        gate_gradient(dact.pair(2 * pair, vector), load(of_panel), load(of_panel + GATES_OF_PANEL));
    store(dgate, a.dgate);
    store(dgate + inner, a.dup);
    Bits act = _mm512_setzero_si512();
    if (second) {
      of_panel += PANEL_COLUMNS;
      const GateGradient b =
          gate_gradient(dact.pair(2 * pair + 1, vector), load(of_panel), load(of_panel + GATES_OF_PANEL));
      store(dgate + 2 * inner, b.dgate);
      store(dgate + 3 * inner, b.dup);
      act = b.act;
    }
    store(act_pairs + vector * LANES, low_pairs(a.act, act));
    store(act_pairs + (vector + 1) * LANES, high_pairs(a.act, act));
  });
}

void gate_backward(const MlpShape& shape, const bf16* dout, const uint32_t* down, const bf16* kept, int64_t kept_panel,
                   bf16* dgate_up, uint32_t* act_pairs, int64_t act_panel) {
  const auto [rows, width, inner] = shape;
  const auto tile = [&, width = width, inner = inner](int64_t g, int64_t first, auto height) INLINE {
    const bf16* kept_at = kept + g / GATES_OF_PANEL * kept_panel + first * PANEL_COLUMNS;
    prefetch(kept_at, height() * PANEL_COLUMNS);
    prefetch(kept_at + kept_panel, height() * PANEL_COLUMNS);
    bf16* to = dgate_up + first * 2 * inner + g;
    uint32_t* act_to = act_pairs + g / PANEL_COLUMNS * act_panel + first / 2 * PANEL_COLUMNS;
    const Tile<height(), 4> dact =
        multiply<height(), 4>(dout + first * width, width, 0, down + g * (width / 2), width / 2);
    if constexpr (height() == 1) {
      const Tile<2, 4> single = {{{dact.at[0][0], dact.at[0][1], dact.at[0][2], dact.at[0][3]}, {}}};
      gate_pair_backward(single, 0, false, kept_at, kept_panel, to, inner, act_to);
    } else {
      unrolled<height() / 2>([&](auto pair) INLINE {
        gate_pair_backward(dact, pair, true, kept_at + 2 * pair * PANEL_COLUMNS, kept_panel, to + 4 * pair * inner,
                           inner, act_to + pair * PANEL_COLUMNS);
      });
    }
  };
  for (int64_t g = 0; g < inner; g += PANEL_COLUMNS) {
    for_pieces<ROWS_OF_FOUR / 2>(rows / 2, [&](int64_t first, auto pairs) INLINE {
      tile(g, 2 * first, std::integral_constant<int, 2 * pairs()>{});
    });
    if (rows % 2 != 0) tile(g, rows - 1, std::integral_constant<int, 1>{});
  }
}

void residual_norm(const bf16* x, const float* delta, int64_t rows, int64_t width, bf16* y, float* rstd, float eps) {
  for (int64_t row = 0; row < rows; ++row, x += width, delta += width, y += width) {
    Pair squares{_mm512_setzero_ps(), _mm512_setzero_ps()};
    for (int64_t i = 0; i < width; i += VALUES) {
      const Bits bits = narrow(widen(load(x + i)) + rounded({load(delta + i), load(delta + i + LANES)}));
      const Pair sum = widen(bits);
      squares.low = _mm512_fmadd_ps(sum.low, sum.low, squares.low);
      squares.high = _mm512_fmadd_ps(sum.high, sum.high, squares.high);
      store(y + i, bits);
    }
    const float total = _mm512_reduce_add_ps(_mm512_add_ps(squares.low, squares.high));
    const float scale = 1.0f / __builtin_sqrtf(total / static_cast<float>(width) + eps);
    rstd[row] = scale;
    for (int64_t i = 0; i < width; i += VALUES) store(y + i, narrow(widen(load(y + i)) * constant(scale)));
  }
}

void residual_norm_backward(const bf16* dy, const bf16* y, const float* rstd, int64_t rows, int64_t width, bf16* dx) {
  for (int64_t row = 0; row < rows; ++row, dy += width, y += width, dx += width) {
    Pair products{_mm512_setzero_ps(), _mm512_setzero_ps()};
    for (int64_t i = 0; i < width; i += VALUES) {
      const Pair a = widen(load(dy + i)), b = widen(load(y + i));
      products.low = _mm512_fmadd_ps(a.low, b.low, products.low);
      products.high = _mm512_fmadd_ps(a.high, b.high, products.high);
    }
    const float total = _mm512_reduce_add_ps(_mm512_add_ps(products.low, products.high));
    const Vector along = constant(total / static_cast<float>(width)), scale = constant(rstd[row]);
    for (int64_t i = 0; i < width; i += VALUES) {
      const Pair a = widen(load(dy + i)), b = widen(load(y + i));
      const Pair across{_mm512_fnmadd_ps(b.low, along, a.low), _mm512_fnmadd_ps(b.high, along, a.high)};
      store(dx + i, narrow(across * scale));
    }
  }
}

}  // namespace

extern const MlpKernels mlp_kernels_avx512_bf16;
const MlpKernels mlp_kernels_avx512_bf16 = {gate, gate_backward, residual_norm, residual_norm_backward};

}  // namespace trainer
