// See blocks.h. The matrix products are oneDNN's micro kernels (through libtorch), which accumulate in float32 into
// buffers that stay in the cache, where the element-wise kernels pick the results up.
// Work is split so that results do not depend on timing: sums over rows are taken in a fixed order.

#include "blocks.h"

#include "products.h"

#include <algorithm>

namespace trainer {
namespace {

// Rows of an MLP that are worked on at once.
constexpr int64_t ROWS = 64;
// Rows whose gradients are gathered before they enter the weights' gradients; a multiple of ROWS.
constexpr int64_t GRADIENT_ROWS = 512, GRADIENT_PAIRS = GRADIENT_ROWS / 2;
// Gates over tokens that are worked on at once.
constexpr int64_t TOKEN_GATES = 64;
// Rows of a weight gradient that one product computes.
constexpr int64_t GRADIENT_TILE = 128;

static_assert(GATES == PANEL, "weights lie in panels of as many gates as are worked on at once");

}  // namespace

void mlp_forward(const MlpShape& shape, const bf16* x, const MlpWeights& weights, bf16* out, bf16* gate_up) {
  const auto [rows, width, inner] = shape;
  const BlockKernels& kernel = block_kernels();
  at::parallel_for(0, (rows + ROWS - 1) / ROWS, 1, [&](int64_t begin, int64_t end) {
    Buffer<float> gate(ROWS * GATES), up(ROWS * GATES), sum(ROWS * width);
    Buffer<bf16> act(ROWS * inner);
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      const int64_t first = chunk * ROWS, count = std::min(ROWS, rows - first);
      bf16* saved = gate_up ? gate_up + first * 2 * inner : nullptr;
      for (int64_t g = 0; g < inner; g += GATES) {
        product(count, GATES, width, x + first * width, width, weights.gate_up_forward + g * width, GATES, gate, GATES);
        product(count, GATES, width, x + first * width, width, weights.gate_up_forward + (inner + g) * width, GATES, up,
                GATES);
        kernel.gate(gate, up, GATES, count, GATES, act + g, inner, saved ? saved + g : nullptr,
                    saved ? saved + inner + g : nullptr, 2 * inner);
      }
      product_of_blocks(count, width, inner, act, inner, weights.down_forward, sum, width);
      kernel.round_rows(sum, out + first * width, count * width);
    }
    at::native::cpublas::brgemm_release(true);
  });
}

void mlp_backward(const MlpShape& shape, const bf16* dout, const bf16* x, const bf16* gate_up,
                  const MlpWeights& weights, bf16* dx, float* dgate_up, float* ddown) {
  const auto [rows, width, inner] = shape;
  const BlockKernels& kernel = block_kernels();
  // In blocks of GATES columns, as the weights.
  Buffer<uint32_t> dgate_up_pairs(GRADIENT_PAIRS * 2 * inner), act_pairs(GRADIENT_PAIRS * inner);
  Buffer<bf16> x_columns(width * GRADIENT_ROWS), dout_columns(width * GRADIENT_ROWS);
  Buffer<float> dgate_up_columns(width * 2 * inner);

  for (int64_t start = 0; start < rows; start += GRADIENT_ROWS) {
    const int64_t gathered = std::min(GRADIENT_ROWS, rows - start);
    at::parallel_for(0, (gathered + ROWS - 1) / ROWS, 1, [&](int64_t begin, int64_t end) {
      Buffer<float> dact(ROWS * GATES), sum(ROWS * width);
      Buffer<bf16> dgate_up_rows(ROWS * 2 * inner);
      for (int64_t chunk = begin; chunk < end; ++chunk) {
        const int64_t offset = chunk * ROWS, first = start + offset, count = std::min(ROWS, gathered - offset);
        const bf16* saved = gate_up + first * 2 * inner;
        const int64_t pair = offset / 2 * GATES;
        for (int64_t g = 0; g < inner; g += GATES) {
          product(count, GATES, width, dout + first * width, width, weights.down_backward + g * width, GATES, dact,
                  GATES);
          kernel.gate_backward(dact, GATES, saved + g, saved + inner + g, 2 * inner, count, GATES, dgate_up_rows + g,
                               dgate_up_rows + inner + g, 2 * inner, dgate_up_pairs + g * GRADIENT_PAIRS + pair,
                               dgate_up_pairs + (inner + g) * GRADIENT_PAIRS + pair, GATES,
                               act_pairs + g * GRADIENT_PAIRS + pair, nullptr, GATES);
        }
        product_of_blocks(count, width, 2 * inner, dgate_up_rows, 2 * inner, weights.gate_up_backward, sum, width);
        kernel.round_rows(sum, dx + first * width, count * width);
        kernel.transpose(x + first * width, count, width, x_columns + offset, GRADIENT_ROWS);
        kernel.transpose(dout + first * width, count, width, dout_columns + offset, GRADIENT_ROWS);
      }
      at::native::cpublas::brgemm_release(true);
    });
    const int64_t depth = even(gathered);
    if (depth > gathered) {
      for (int64_t c = 0; c < width; ++c) {
        x_columns[c * GRADIENT_ROWS + gathered] = 0;
        dout_columns[c * GRADIENT_ROWS + gathered] = 0;
      }
    }
    const bool add = start > 0;
    for_each_parallel(3 * inner / GATES, [&](int64_t block) {
      const int64_t g = block * GATES;
      for (int64_t c = 0; c < width; c += GRADIENT_TILE) {
        const int64_t tile = std::min(GRADIENT_TILE, width - c);
        if (g < 2 * inner) {
          product(tile, GATES, depth, x_columns + c * GRADIENT_ROWS, GRADIENT_ROWS,
                  as_rows(dgate_up_pairs + g * GRADIENT_PAIRS), GATES, dgate_up_columns + g * width + c * GATES, GATES,
                  add);
        } else {
          const int64_t of_act = g - 2 * inner;
          product(tile, GATES, depth, dout_columns + c * GRADIENT_ROWS, GRADIENT_ROWS,
                  as_rows(act_pairs + of_act * GRADIENT_PAIRS), GATES, ddown + c * inner + of_act, inner, add);
        }
      }
    });
  }
  for (int64_t g = 0; g < 2 * inner; g += GATES) {
    kernel.transpose_words(reinterpret_cast<const uint32_t*>(dgate_up_columns + g * width), width, GATES,
                           reinterpret_cast<uint32_t*>(dgate_up + g * width), width);
  }
}

void mixing_forward(const MixingShape& shape, const bf16* x, const MlpWeights& weights, float eps, bf16* y,
                    float* rstd, bf16* gate_up) {
  const auto [batch, tokens, width, inner] = shape;
  const int64_t depth = even(tokens);
  const BlockKernels& kernel = block_kernels();
  at::parallel_for(0, batch, 1, [&](int64_t begin, int64_t end) {
    Buffer<uint32_t> x_pairs(depth / 2 * width), act_pairs(inner / 2 * width);
    Buffer<float> gate(TOKEN_GATES * width), up(TOKEN_GATES * width), sum(tokens * width);
    for (int64_t b = begin; b < end; ++b) {
      const bf16* x_b = x + b * tokens * width;
      bf16* saved = gate_up ? gate_up + b * 2 * inner * width : nullptr;
      kernel.pack_pairs(x_b, tokens, width, width, x_pairs);
      for (int64_t g = 0; g < inner; g += TOKEN_GATES) {
        product(TOKEN_GATES, width, depth, weights.gate_up_forward + g * depth, depth, as_rows(x_pairs), width, gate,
                width);
        product(TOKEN_GATES, width, depth, weights.gate_up_forward + (inner + g) * depth, depth, as_rows(x_pairs),
                width, up, width);
        kernel.gate_to_pairs(gate, up, width, TOKEN_GATES, width, act_pairs + g / 2 * width, width,
                             saved ? saved + g * width : nullptr, saved ? saved + (inner + g) * width : nullptr, width);
      }
      product(tokens, width, inner, weights.down_forward, inner, as_rows(act_pairs), width, sum, width);
      kernel.column_norm(x_b, sum, tokens, width, y + b * tokens * width, rstd + b * width, eps);
    }
    at::native::cpublas::brgemm_release(true);
  });
}

void mixing_backward(const MixingShape& shape, const bf16* dy, const bf16* x, const bf16* y, const float* rstd,
                     const bf16* gate_up, const MlpWeights& weights, bf16* dx, float* dgate_up, float* ddown) {
  const auto [batch, tokens, width, inner] = shape;
  const int64_t depth = even(tokens), words = width / 2;
  // Whole vectors: a product with a ragged number of columns costs more than the padding.
  const int64_t padded = (tokens + 15) / 16 * 16;
  const BlockKernels& kernel = block_kernels();
  // One sum per share of the batch, and a share per thread.
  const int64_t shares = std::min<int64_t>(batch, at::get_num_threads());
  const int64_t gate_up_count = 2 * inner * padded, down_count = inner * padded;
  Buffer<float> sums(shares * (gate_up_count + down_count));
  for_each_parallel(shares, [&](int64_t share) {
    float* dgate_up_sum = sums + share * (gate_up_count + down_count);
    float* ddown_sum = dgate_up_sum + gate_up_count;
    Buffer<bf16> dsum(tokens * width), dgate_up_rows(2 * inner * width), act(inner * width);
    Buffer<uint32_t> dsum_pairs(depth / 2 * width), dgate_up_pairs(inner * width), columns(words * padded);
    Buffer<float> dact(TOKEN_GATES * width), sum(tokens * width);
    const int64_t begin = batch * share / shares, end = batch * (share + 1) / shares;
    for (int64_t b = begin; b < end; ++b) {
      const int64_t at = b * tokens * width;
      const bf16* saved = gate_up + b * 2 * inner * width;
      kernel.column_norm_backward(dy + at, y + at, rstd + b * width, tokens, width, dsum, dsum_pairs);
      for (int64_t g = 0; g < inner; g += TOKEN_GATES) {
        product(TOKEN_GATES, width, depth, weights.down_backward + g * depth, depth, as_rows(dsum_pairs), width, dact,
                width);
        kernel.gate_backward(dact, width, saved + g * width, saved + (inner + g) * width, width, TOKEN_GATES, width,
                             dgate_up_rows + g * width, dgate_up_rows + (inner + g) * width, width,
                             dgate_up_pairs + g / 2 * width, dgate_up_pairs + (inner + g) / 2 * width, width, nullptr,
                             act + g * width, width);
      }
      product(tokens, width, 2 * inner, weights.gate_up_backward, 2 * inner, as_rows(dgate_up_pairs), width, sum,
              width);
      kernel.add_rounded(sum, dsum, dx + at, tokens * width);
      const bool add = b > begin;
      kernel.transpose_words(reinterpret_cast<const uint32_t*>(x + at), tokens, words, columns, padded);
      product(2 * inner, padded, width, dgate_up_rows, width, as_rows(columns), padded, dgate_up_sum, padded, add);
      kernel.transpose_words(reinterpret_cast<const uint32_t*>(static_cast<bf16*>(dsum)), tokens, words, columns,
                             padded);
      product(inner, padded, width, act, width, as_rows(columns), padded, ddown_sum, padded, add);
    }
  });
  float* total = sums;
  for (int64_t share = 1; share < shares; ++share) {
    const float* part = sums + share * (gate_up_count + down_count);
    for (int64_t i = 0; i < gate_up_count + down_count; ++i) total[i] += part[i];
  }
  for (int64_t row = 0; row < 2 * inner; ++row) {
    std::copy_n(total + row * padded, tokens, dgate_up + row * tokens);
  }
  const float* ddown_total = total + gate_up_count;
  for (int64_t token = 0; token < tokens; ++token) {
    for (int64_t row = 0; row < inner; ++row) ddown[token * inner + row] = ddown_total[row * padded + token];
  }
}

}  // namespace trainer
