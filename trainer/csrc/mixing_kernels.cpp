// Token mixing of some channels of one example in AVX-512 with bfloat16 products, forward and backward.
// Owns everything between reading the channels and writing them; leaves weight gradients and scratch to blocks.cpp.
// What one call works on stays in the first two levels of the cache.

#include "blocks.h"

#include "tiles.h"

#include <cmath>

namespace trainer {
namespace {

static_assert(CHANNELS == VALUES);

// Pairs of tokens of CHANNELS channels.
void pair_tokens(const bf16* in, int64_t tokens, int64_t width, uint32_t* out) {
  for (int64_t token = 0; token < tokens; token += 2, in += 2 * width, out += CHANNELS) {
    const Bits upper = load(in), lower = token + 1 < tokens ? load(in + width) : _mm512_setzero_si512();
    store(out, low_pairs(upper, lower));
    store(out + LANES, high_pairs(upper, lower));
  }
}

// act of all gates as pairs; gate and up are kept unless `kept` is null.
void gate(const MixingShape& shape, const uint32_t* x_pairs, const bf16* gate_up, uint32_t* act_pairs, bf16* kept) {
  const int64_t inner = shape.inner, depth = even(shape.tokens);
  for_pieces<ROWS_OF_TWO / 4>(inner / 2, [&](int64_t first_pair, auto pairs) INLINE {
    constexpr int gates = 2 * pairs();
    const int64_t first = 2 * first_pair;
    // Gates above their ups.
    const Tile<2 * gates, 2> tile =
        multiply<2 * gates, 2>(gate_up + first * depth, depth, (inner - gates) * depth, x_pairs, depth / 2);
    unrolled<pairs()>([&](auto pair) INLINE {
      Bits acts[2];
      unrolled<2>([&](auto of_pair) INLINE {
        const int row = 2 * pair + of_pair;
        const Bits gate_bits = narrow(tile.pair(row, 0)), up_bits = narrow(tile.pair(gates + row, 0));
        acts[of_pair] = act_of(gate_bits, up_bits);
        if (kept) {
          bf16* to = kept + (first + row) * 2 * CHANNELS;
          store(to, gate_bits);
          store(to + CHANNELS, up_bits);
        }
      });
      uint32_t* to = act_pairs + (first_pair + pair) * CHANNELS;
      store(to, low_pairs(acts[0], acts[1]));
      store(to + LANES, high_pairs(acts[0], acts[1]));
    });
  });
}

// residual_norm of kernels.h over the tokens.
void column_norm(const bf16* x, const float* delta, int64_t tokens, int64_t width, bf16* y, float* rstd, float eps) {
  Pair squares{_mm512_setzero_ps(), _mm512_setzero_ps()};
  for (int64_t token = 0; token < tokens; ++token) {
    const float* of_token = delta + token * CHANNELS;
    const Bits bits = narrow(widen(load(x + token * width)) + rounded({load(of_token), load(of_token + LANES)}));
    const Pair sum = widen(bits);
    squares.low = _mm512_fmadd_ps(sum.low, sum.low, squares.low);
    squares.high = _mm512_fmadd_ps(sum.high, sum.high, squares.high);
    store(y + token * width, bits);
  }
  const auto scale_of = [&](Vector squares) {
    const Vector variance = _mm512_div_ps(squares, constant(static_cast<float>(tokens)));
    return _mm512_div_ps(constant(1.0f), _mm512_sqrt_ps(_mm512_add_ps(variance, constant(eps))));
  };
  const Pair scale{scale_of(squares.low), scale_of(squares.high)};
  store(rstd, scale.low);
  store(rstd + LANES, scale.high);
  for (int64_t token = 0; token < tokens; ++token) {
    bf16* of_token = y + token * width;
    store(of_token, narrow(widen(load(of_token)) * scale));
  }
}

void forward(const MixingShape& shape, const bf16* x, const TokenWeights& weights, float eps,
             const MixingScratch& scratch, bf16* y, float* rstd, bf16* kept) {
  const int64_t tokens = shape.tokens, width = shape.width, inner = shape.inner;
  pair_tokens(x, tokens, width, scratch.token_pairs);
  gate(shape, scratch.token_pairs, weights.gate_up_forward, scratch.gate_pairs, kept);
  for_pieces<ROWS_OF_TWO>(tokens, [&](int64_t first, auto height) INLINE {
    const Tile<height(), 2> tile =
        multiply<height(), 2>(weights.down_forward + first * inner, inner, 0, scratch.gate_pairs, inner / 2);
    unrolled<height()>([&](auto row) INLINE {
      float* to = scratch.sums + (first + row) * CHANNELS;
      store(to, tile.at[row][0]);
      store(to + LANES, tile.at[row][1]);
    });
  });
  column_norm(x, scratch.sums, tokens, width, y, rstd, eps);
}

void column_norm_backward(const bf16* dy, const bf16* y, const float* rstd, int64_t tokens, int64_t width, bf16* dx,
                          uint32_t* dx_pairs) {
  Pair along{_mm512_setzero_ps(), _mm512_setzero_ps()};
  for (int64_t token = 0; token < tokens; ++token) {
    const Pair a = widen(load(dy + token * width)), b = widen(load(y + token * width));
    along.low = _mm512_fmadd_ps(a.low, b.low, along.low);
    along.high = _mm512_fmadd_ps(a.high, b.high, along.high);
  }
  const Vector count = constant(static_cast<float>(tokens));
  along = {_mm512_div_ps(along.low, count), _mm512_div_ps(along.high, count)};
  const Pair scale{load(rstd), load(rstd + LANES)};
  const auto gradient = [&](int64_t token) {
    const Pair a = widen(load(dy + token * width)), b = widen(load(y + token * width));
    const Pair across{_mm512_fnmadd_ps(b.low, along.low, a.low), _mm512_fnmadd_ps(b.high, along.high, a.high)};
    const Bits bits = narrow(across * scale);
    store(dx + token * width, bits);
    return bits;
  };
  for (int64_t token = 0; token < tokens; token += 2, dx_pairs += CHANNELS) {
    const Bits upper = gradient(token), lower = token + 1 < tokens ? gradient(token + 1) : _mm512_setzero_si512();
    store(dx_pairs, low_pairs(upper, lower));
    store(dx_pairs + LANES, high_pairs(upper, lower));
  }
}

void gate_backward(const MixingShape& shape, const uint32_t* dsum_pairs, const bf16* down, const bf16* kept,
                   bf16* dgate_up, bf16* act, uint32_t* dgate_up_pairs) {
  const int64_t width = shape.width, inner = shape.inner, depth = even(shape.tokens);
  for_pieces<ROWS_OF_TWO / 2>(inner / 2, [&](int64_t first_pair, auto pairs) INLINE {
    const int64_t first = 2 * first_pair;
    const bf16* kept_at = kept + first * 2 * CHANNELS;
    prefetch(kept_at, 2 * pairs() * 2 * CHANNELS);
    const Tile<2 * pairs(), 2> dact =
        multiply<2 * pairs(), 2>(down + first * depth, depth, 0, dsum_pairs, depth / 2);
    unrolled<pairs()>([&](auto pair) INLINE {
      const int64_t at = (first + 2 * pair) * width, up_at = at + inner * width;
      const bf16* gates = kept_at + 4 * pair * CHANNELS;
      const GateGradient a = gate_gradient(dact.pair(2 * pair, 0), load(gates), load(gates + CHANNELS));
      const GateGradient b =
          gate_gradient(dact.pair(2 * pair + 1, 0), load(gates + 2 * CHANNELS), load(gates + 3 * CHANNELS));
      store(dgate_up + at, a.dgate);
      store(dgate_up + at + width, b.dgate);
      store(dgate_up + up_at, a.dup);
      store(dgate_up + up_at + width, b.dup);
      store(act + at, a.act);
      store(act + at + width, b.act);
      uint32_t* gate_to = dgate_up_pairs + (first_pair + pair) * CHANNELS;
      uint32_t* up_to = gate_to + inner / 2 * CHANNELS;
      store(gate_to, low_pairs(a.dgate, b.dgate));
      store(gate_to + LANES, high_pairs(a.dgate, b.dgate));
      store(up_to, low_pairs(a.dup, b.dup));
      store(up_to + LANES, high_pairs(a.dup, b.dup));
    });
  });
}

void backward(const MixingShape& shape, const bf16* dy, const bf16* y, const float* rstd, const bf16* kept,
              const TokenWeights& weights, const MixingScratch& scratch, bf16* dsum, bf16* dgate_up, bf16* act,
              bf16* dx) {
  const int64_t tokens = shape.tokens, width = shape.width, inner = shape.inner;
  column_norm_backward(dy, y, rstd, tokens, width, dsum, scratch.token_pairs);
  gate_backward(shape, scratch.token_pairs, weights.down_backward, kept, dgate_up, act, scratch.gate_pairs);
  for_pieces<ROWS_OF_TWO>(tokens, [&](int64_t first, auto height) INLINE {
    const Tile<height(), 2> tile =
        multiply<height(), 2>(weights.gate_up_backward + first * 2 * inner, 2 * inner, 0, scratch.gate_pairs, inner);
    unrolled<height()>([&](auto row) INLINE {
      const int64_t at = (first + row) * width;
      store(dx + at, narrow(rounded(tile.pair(row, 0)) + widen(load(dsum + at))));
    });
  });
}

}  // namespace

extern const MixingKernels mixing_kernels_avx512_bf16;
const MixingKernels mixing_kernels_avx512_bf16 = {forward, backward};

}  // namespace trainer
