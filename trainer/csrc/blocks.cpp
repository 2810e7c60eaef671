// See blocks.h. Work is split so that results do not depend on timing: sums over rows are taken in a fixed order.

#include "blocks.h"

#include "products.h"

#include <algorithm>

namespace trainer {
namespace {

// Rows of an MLP that are worked on at once, at most: with their gates they fill half of the second level of the cache.
constexpr int64_t MOST_ROWS = 96;
// Rows of a weight gradient that one product computes.
constexpr int64_t GRADIENT_TILE = 64;

// Equal pieces of `rows`, as many for every thread, that begin at even rows.
struct Pieces {
  Pieces(int64_t rows, int64_t most) : rows(rows) {
    const int64_t threads = at::get_num_threads(), needed = (rows + most - 1) / most;
    count = std::min((needed + threads - 1) / threads * threads, std::max<int64_t>(1, rows / 2));
  }
  int64_t begin(int64_t piece) const { return piece == count ? rows : rows / 2 * piece / count * 2; }

  int64_t rows, count;
};

// Rows whose gradients are gathered before they enter the weights' gradients, which are read and written every time:
// the more weights, the more rows.
int64_t gradient_rows(const MlpShape& shape) { return std::min(even(shape.rows), std::max<int64_t>(512, 4 * shape.width)); }

}  // namespace

void mlp_forward(const MlpShape& shape, const bf16* x, const ChannelWeights& weights, float eps, bf16* out, float* rstd,
                 bf16* gate_up) {
  const auto [rows, width, inner] = shape;
  const GemmKernels& gemm = gemm_kernels();
  const MlpKernels& kernel = mlp_kernels();
  const Pieces pieces(rows, MOST_ROWS);
  at::parallel_for(0, pieces.count, 1, [&](int64_t begin, int64_t end) {
    const int64_t most = MOST_ROWS + 2;
    Buffer<bf16> act(most * inner);
    Buffer<float> sum(most * width);
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t first = pieces.begin(piece), count = pieces.begin(piece + 1) - first;
      const bf16* from = x + first * width;
      bf16* to = out + first * width;
      kernel.gate({count, width, inner}, from, weights.gate_up_forward, act,
                  gate_up ? gate_up + first * PANEL_COLUMNS : nullptr, rows * PANEL_COLUMNS);
      if (rstd) {
        gemm.product(count, width, inner / 2, act, inner, weights.down_forward, sum, width, false);
        kernel.residual_norm(from, sum, count, width, to, rstd + first, eps);
      } else {
        gemm.product_rounded(count, width, inner / 2, act, inner, weights.down_forward, nullptr, to, width);
      }
    }
  });
}

void mlp_backward(const MlpShape& shape, const bf16* dout, const bf16* x, const ResidualNorm* norm, const bf16* gate_up,
                  const ChannelWeights& weights, bf16* dx, float* dgate_up, float* ddown) {
  const auto [rows, width, inner] = shape;
  const GemmKernels& gemm = gemm_kernels();
  const MlpKernels& kernel = mlp_kernels();
  const int64_t most_gathered = gradient_rows(shape), most_pairs = most_gathered / 2;
  // Off the powers of two, which fall into the same lines of the cache.
  const int64_t ld = most_gathered + LANES * 2;
  Buffer<bf16> dgate_up_columns(2 * inner * ld), dsum_columns(width * ld);
  Buffer<uint32_t> act_pairs(inner * most_pairs), x_pairs(width * most_pairs);

  for (int64_t start = 0; start < rows; start += most_gathered) {
    const int64_t gathered = std::min(most_gathered, rows - start);
    const Pieces pieces(gathered, MOST_ROWS);
    at::parallel_for(0, pieces.count, 1, [&](int64_t begin, int64_t end) {
      const int64_t most = MOST_ROWS + 2;
      Buffer<bf16> dgate_up_rows(most * 2 * inner), normed(most * width);
      for (int64_t piece = begin; piece < end; ++piece) {
        const int64_t offset = pieces.begin(piece), count = pieces.begin(piece + 1) - offset, first = start + offset;
        const bf16* dsum = dout + first * width;
        if (norm) {
          kernel.residual_norm_backward(dsum, norm->y + first * width, norm->rstd + first, count, width, normed);
          dsum = normed;
        }
        kernel.gate_backward({count, width, inner}, dsum, weights.down_backward, gate_up + first * PANEL_COLUMNS,
                             rows * PANEL_COLUMNS, dgate_up_rows, act_pairs + offset / 2 * PANEL_COLUMNS, most_pairs * PANEL_COLUMNS);
        gemm.product_rounded(count, width, inner, dgate_up_rows, 2 * inner, weights.gate_up_backward,
                             norm ? dsum : nullptr, dx + first * width, width);
        gemm.transpose(dgate_up_rows, count, 2 * inner, 2 * inner, dgate_up_columns + offset, ld);
        gemm.transpose(dsum, count, width, width, dsum_columns + offset, ld);
        for (int64_t c = 0; c < width; c += PANEL_COLUMNS) {
          const int64_t columns = std::min(PANEL_COLUMNS, width - c);
          gemm.pack(x + first * width + c, count, columns, width, x_pairs + c * most_pairs + offset / 2 * columns, 0);
        }
      }
    });
    const int64_t pairs = even(gathered) / 2;
    for_each_parallel((2 * inner + inner) / GRADIENT_TILE, [&](int64_t tile) {
      const int64_t g = tile * GRADIENT_TILE, of_act = g - 2 * inner;
      if (of_act >= 0) {
        gemm.product(width, GRADIENT_TILE, pairs, dsum_columns, ld, act_pairs + of_act * most_pairs, ddown + of_act,
                     inner, true);
        return;
      }
      for (int64_t c = 0; c < width; c += PANEL_COLUMNS) {
        gemm.product(GRADIENT_TILE, std::min(PANEL_COLUMNS, width - c), pairs, dgate_up_columns + g * ld, ld,
                     x_pairs + c * most_pairs, dgate_up + g * width + c, width, true);
      }
    });
  }
}

void mixing_forward(const MixingShape& shape, const bf16* x, const TokenWeights& weights, float eps, bf16* y,
                    float* rstd, bf16* gate_up) {
  const auto [batch, tokens, width, inner] = shape;
  const MixingKernels& kernel = mixing_kernels();
  const int64_t of_example = width / CHANNELS;
  at::parallel_for(0, batch * of_example, 1, [&](int64_t begin, int64_t end) {
    Buffer<uint32_t> token_pairs(even(tokens) / 2 * CHANNELS), gate_pairs(inner / 2 * CHANNELS);
    Buffer<float> sums(tokens * CHANNELS);
    for (int64_t index = begin; index < end; ++index) {
      const int64_t b = index / of_example, c = index % of_example * CHANNELS, at = b * tokens * width + c;
      kernel.forward(shape, x + at, weights, eps, {token_pairs, gate_pairs, sums}, y + at, rstd + b * width + c,
                     gate_up ? gate_up + (b * width + c) * 2 * inner : nullptr);
    }
  });
}

void mixing_backward(const MixingShape& shape, const bf16* dy, const bf16* x, const bf16* y, const float* rstd,
                     const bf16* gate_up, const TokenWeights& weights, bf16* dx, float* dgate_up, float* ddown) {
  const auto [batch, tokens, width, inner] = shape;
  // Whole vectors: rows that begin on a cache line's border are faster to add to.
  const int64_t padded = (tokens + LANES - 1) / LANES * LANES;
  const GemmKernels& gemm = gemm_kernels();
  const MixingKernels& kernel = mixing_kernels();
  // One sum per share of the batch, and a share per thread.
  const int64_t shares = std::min<int64_t>(batch, at::get_num_threads());
  const int64_t gate_up_count = 2 * inner * padded, down_count = tokens * inner;
  Buffer<float> sums(shares * (gate_up_count + down_count));
  for_each_parallel(shares, [&](int64_t share) {
    float* dgate_up_sum = sums + share * (gate_up_count + down_count);
    float* ddown_sum = dgate_up_sum + gate_up_count;
    Buffer<bf16> dsum(tokens * width), dgate_up_rows(2 * inner * width), act(inner * width);
    Buffer<uint32_t> token_pairs(even(tokens) / 2 * CHANNELS), gate_pairs(inner * CHANNELS);
    Buffer<uint32_t> x_columns(width / 2 * padded), act_columns(width / 2 * inner);
    const int64_t begin = batch * share / shares, end = batch * (share + 1) / shares;
    for (int64_t b = begin; b < end; ++b) {
      const int64_t at = b * tokens * width;
      for (int64_t c = 0; c < width; c += CHANNELS) {
        kernel.backward(shape, dy + at + c, y + at + c, rstd + b * width + c, gate_up + (b * width + c) * 2 * inner,
                        weights, {token_pairs, gate_pairs, nullptr}, dsum + c, dgate_up_rows + c, act + c, dx + at + c);
      }
      const bool add = b > begin;
      gemm.pack_transposed(x + at, tokens, width, width, x_columns);
      gemm.product(2 * inner, padded, width / 2, dgate_up_rows, width, x_columns, dgate_up_sum, padded, add);
      gemm.pack_transposed(act, inner, width, width, act_columns);
      gemm.product(tokens, inner, width / 2, dsum, width, act_columns, ddown_sum, inner, add);
    }
  });
  for (int64_t share = 0; share < shares; ++share) {
    const float* dgate_up_sum = sums + share * (gate_up_count + down_count);
    const float* ddown_sum = dgate_up_sum + gate_up_count;
    for (int64_t row = 0; row < 2 * inner; ++row) {
      for (int64_t token = 0; token < tokens; ++token) {
        dgate_up[row * tokens + token] += dgate_up_sum[row * padded + token];
      }
    }
    for (int64_t i = 0; i < down_count; ++i) ddown[i] += ddown_sum[i];
  }
}

}  // namespace trainer
