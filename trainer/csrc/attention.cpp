// See attention.h. Scores exist for a block of queries and a block of keys at a time, in the cache; forward computes
// the softmax over the blocks as they come, backward computes the scores again.
// Work is split so that results depend neither on timing nor on the number of threads.

#include "attention.h"

#include "attention_kernels.h"
#include "blocks.h"
#include "products.h"

#include <algorithm>
#include <cmath>

namespace trainer {
namespace {

// Rows of a projection that are worked on at once, at most.
constexpr int64_t ROWS = 128;
// Queries and keys whose scores are worked on at once, at most; even, and a multiple of panels.
constexpr int64_t QUERIES = 64, KEYS = 128;
// Rows and columns of a weight's gradient that one product computes.
constexpr int64_t GRADIENT_TILE = 64;
// Rows that are rearranged at once for them.
constexpr int64_t GATHERED_ROWS = 64;
constexpr float LOG2_E = 1.44269504088896341f;

struct Range {
  int64_t first, count;
};

// `count` things in equal parts of at most `largest`, an even number each, as many parts for every one of `shares`.
class Parts {
 public:
  Parts(int64_t count, int64_t largest, int64_t shares = 1) : total_(count) {
    const int64_t needed = (count + largest - 1) / largest, parts = (needed + shares - 1) / shares * shares;
    size_ = even((count + parts - 1) / parts);
  }
  int64_t count() const { return (total_ + size_ - 1) / size_; }
  int64_t size() const { return size_; }
  Range operator[](int64_t index) const { return {index * size_, std::min(size_, total_ - index * size_)}; }

 private:
  int64_t total_, size_;
};

float score_scale(const AttentionShape& shape) { return LOG2_E / std::sqrt(static_cast<float>(shape.head_dim)); }

Parts row_parts(const AttentionShape& shape) { return {shape.rows(), ROWS, at::get_num_threads()}; }

// Turns columns of rows of the flat batch, example by example.
void rotate_rows(const AttentionShape& shape, const Angles& angles, const Range& rows, bf16* values, int64_t ld,
                 int64_t columns) {
  for (int64_t row = 0; angles.cos && row < rows.count;) {
    const int64_t token = (rows.first + row) % shape.tokens, angle = token * shape.head_dim / 2;
    const int64_t count = std::min(rows.count - row, shape.tokens - token);
    attention_kernels().rotate(values + row * ld, ld, count, columns, shape.head_dim, angles.cos + angle,
                               angles.sin + angle, 1.0f);
    row += count;
  }
}

// Turns a head of one example back.
void unrotate(const AttentionShape& shape, const Angles& angles, const Range& tokens, bf16* values, int64_t ld) {
  if (!angles.cos) return;
  const int64_t angle = tokens.first * shape.head_dim / 2;
  attention_kernels().rotate(values, ld, tokens.count, shape.head_dim, shape.head_dim, angles.cos + angle,
                             angles.sin + angle, -1.0f);
}

// Scratch memory of a thread that mixes the values of one head after the other.
struct ForwardScratch {
  explicit ForwardScratch(const AttentionShape& shape)
      : key_panels(whole_vectors(shape.tokens) * shape.head_dim / 2),
        value_panels(even(shape.tokens) * shape.head_dim / 2),
        scores(QUERIES * KEYS),
        weights(QUERIES * KEYS),
        sums(QUERIES * shape.head_dim),
        peaks(3 * QUERIES) {}
  Buffer<uint32_t> key_panels, value_panels;
  Buffer<float> scores;
  Buffer<bf16> weights;
  Buffer<float> sums, peaks;
};

void mix_head(const AttentionShape& shape, int64_t example, int64_t head, const Attended& kept,
              const ForwardScratch& scratch) {
  const AttentionKernels& kernel = attention_kernels();
  const GemmKernels& gemm = gemm_kernels();
  const int64_t tokens = shape.tokens, inner = shape.inner(), depth = shape.head_dim, ld = 3 * inner;
  const bf16* queries = kept.qkv + example * tokens * ld + head * depth;
  const bf16 *keys = queries + inner, *values = keys + inner;
  float *peak = scratch.peaks, *sum = peak + QUERIES, *shrink = sum + QUERIES;
  for (int64_t start = 0; start < tokens; start += KEYS) {
    const int64_t present = std::min(KEYS, tokens - start);
    gemm.pack_transposed(keys + start * ld, present, depth, ld, scratch.key_panels + start * depth / 2);
    gemm.pack(values + start * ld, present, depth, ld, scratch.value_panels + start * depth / 2,
              even(present) / 2 * PANEL_COLUMNS);
  }

  const Parts blocks(tokens, QUERIES);
  for (int64_t block = 0; block < blocks.count(); ++block) {
    const auto [first, count] = blocks[block];
    for (int64_t start = 0; start < tokens; start += KEYS) {
      const int64_t present = std::min(KEYS, tokens - start), padded = whole_vectors(present);
      gemm.product(count, padded, depth / 2, queries + first * ld, ld, scratch.key_panels + start * depth / 2,
                   scratch.scores, padded, false);
      kernel.softmax(scratch.scores, padded, count, present, score_scale(shape), start == 0, peak, sum, shrink,
                     scratch.weights);
      if (start > 0) kernel.multiply_rows(scratch.sums, depth, count, depth, shrink);
      gemm.product(count, depth, even(present) / 2, scratch.weights, padded, scratch.value_panels + start * depth / 2,
                   scratch.sums, depth, start > 0);
    }
    kernel.divide_rows(scratch.sums, depth, count, depth, sum,
                       kept.mixed + (example * tokens + first) * inner + head * depth, inner);
    float* logsum = kept.logsum + (example * shape.heads + head) * tokens + first;
    for (int64_t i = 0; i < count; ++i) logsum[i] = peak[i] + std::log2(sum[i]);
  }
}

// Scratch memory of a thread that differentiates one head after the other.
struct BackwardScratch {
  explicit BackwardScratch(const AttentionShape& shape)
      : ld_columns(whole_vectors(shape.tokens)),
        key_panels(KEYS * shape.head_dim / 2),
        value_panels(KEYS * shape.head_dim / 2),
        key_pairs(KEYS * shape.head_dim / 2),
        query_columns(shape.head_dim * ld_columns),
        dmixed_columns(shape.head_dim * ld_columns),
        scores(QUERIES * KEYS),
        dweights(QUERIES * KEYS),
        weight_panels(QUERIES / 2 * KEYS),
        dscore_panels(QUERIES / 2 * KEYS),
        dscores(QUERIES * KEYS),
        dqueries(shape.tokens * shape.head_dim),
        dkeys(shape.head_dim * KEYS),
        dvalues(shape.head_dim * KEYS),
        dots(shape.tokens) {}
  int64_t ld_columns;
  Buffer<uint32_t> key_panels, value_panels, key_pairs;
  Buffer<bf16> query_columns, dmixed_columns;
  Buffer<float> scores, dweights;
  Buffer<uint32_t> weight_panels, dscore_panels;
  Buffer<bf16> dscores;
  Buffer<float> dqueries, dkeys, dvalues, dots;
};

// Gradients of the queries, keys and values of a head, `dqkv` [rows, 3 inner], from that of what it mixed.
void unmix_head(const AttentionShape& shape, int64_t example, int64_t head, const Attended& kept, const Angles& angles,
                const bf16* dmixed, bf16* dqkv, const BackwardScratch& scratch) {
  const AttentionKernels& kernel = attention_kernels();
  const GemmKernels& gemm = gemm_kernels();
  const int64_t tokens = shape.tokens, inner = shape.inner(), depth = shape.head_dim, ld = 3 * inner;
  const int64_t ld_columns = scratch.ld_columns, at = example * tokens * inner + head * depth;
  const bf16* queries = kept.qkv + example * tokens * ld + head * depth;
  const bf16 *keys = queries + inner, *values = keys + inner, *gradient = dmixed + at;
  bf16* dqueries = dqkv + example * tokens * ld + head * depth;
  bf16 *dkeys = dqueries + inner, *dvalues = dkeys + inner;
  const float* logsum = kept.logsum + (example * shape.heads + head) * tokens;
  kernel.dots(gradient, inner, kept.mixed + at, inner, tokens, depth, scratch.dots);
  gemm.transpose(queries, tokens, depth, ld, scratch.query_columns, ld_columns);
  gemm.transpose(gradient, tokens, depth, inner, scratch.dmixed_columns, ld_columns);

  const Parts blocks(tokens, QUERIES);
  for (int64_t start = 0; start < tokens; start += KEYS) {
    const int64_t present = std::min(KEYS, tokens - start), padded = whole_vectors(present);
    gemm.pack_transposed(keys + start * ld, present, depth, ld, scratch.key_panels);
    gemm.pack_transposed(values + start * ld, present, depth, ld, scratch.value_panels);
    gemm.pack(keys + start * ld, present, depth, ld, scratch.key_pairs, even(present) / 2 * PANEL_COLUMNS);
    for (int64_t block = 0; block < blocks.count(); ++block) {
      const auto [first, count] = blocks[block];
      const int64_t pairs = even(count) / 2;
      gemm.product(count, padded, depth / 2, queries + first * ld, ld, scratch.key_panels, scratch.scores, padded,
                   false);
      gemm.product(count, padded, depth / 2, gradient + first * inner, inner, scratch.value_panels, scratch.dweights,
                   padded, false);
      kernel.softmax_backward(scratch.scores, scratch.dweights, padded, count, present, score_scale(shape),
                              logsum + first, scratch.dots + first, scratch.weight_panels, scratch.dscore_panels,
                              scratch.dscores);
      gemm.product(depth, padded, pairs, scratch.dmixed_columns + first, ld_columns, scratch.weight_panels,
                   scratch.dvalues, padded, block > 0);
      gemm.product(depth, padded, pairs, scratch.query_columns + first, ld_columns, scratch.dscore_panels,
                   scratch.dkeys, padded, block > 0);
      gemm.product(count, depth, even(present) / 2, scratch.dscores, padded, scratch.key_pairs,
                   scratch.dqueries + first * depth, depth, start > 0);
    }
    kernel.round_transposed(scratch.dkeys, padded, depth, present, dkeys + start * ld, ld);
    kernel.round_transposed(scratch.dvalues, padded, depth, present, dvalues + start * ld, ld);
    unrotate(shape, angles, {start, present}, dkeys + start * ld, ld);
  }
  kernel.divide_rows(scratch.dqueries, depth, tokens, depth, nullptr, dqueries, ld);
  unrotate(shape, angles, {0, tokens}, dqueries, ld);
}

// Adds dout [rows, outputs] transposed times x [rows, inputs] to dweight [outputs, inputs].
void add_weight_gradient(int64_t rows, const bf16* dout, int64_t outputs, const bf16* x, int64_t inputs,
                         float* dweight) {
  const GemmKernels& gemm = gemm_kernels();
  // All rows at once as long as a tile's operands stay in the cache: a gradient is read and written every time.
  const int64_t most = std::min(even(rows), std::max<int64_t>(512, 4 * inputs));
  // Off the powers of two, which fall into the same lines of the cache.
  const int64_t ld = most + 2 * LANES;
  Buffer<bf16> columns(outputs * ld);
  Buffer<uint32_t> panels(most / 2 * inputs);
  for (int64_t start = 0; start < rows; start += most) {
    const int64_t gathered = std::min(most, rows - start);
    for_each_parallel((gathered + GATHERED_ROWS - 1) / GATHERED_ROWS, [&](int64_t chunk) {
      const int64_t first = chunk * GATHERED_ROWS, count = std::min(GATHERED_ROWS, gathered - first);
      gemm.transpose(dout + (start + first) * outputs, count, outputs, outputs, columns + first, ld);
      for (int64_t i = 0; i < inputs; i += PANEL_COLUMNS) {
        const int64_t width = std::min(PANEL_COLUMNS, inputs - i);
        gemm.pack(x + (start + first) * inputs + i, count, width, inputs, panels + i * (most / 2) + first / 2 * width,
                  0);
      }
    });
    for_each_parallel((outputs + GRADIENT_TILE - 1) / GRADIENT_TILE, [&](int64_t tile) {
      const int64_t row = tile * GRADIENT_TILE;
      for (int64_t i = 0; i < inputs; i += PANEL_COLUMNS) {
        gemm.product(std::min(GRADIENT_TILE, outputs - row), std::min(PANEL_COLUMNS, inputs - i), even(gathered) / 2,
                     columns + row * ld, ld, panels + i * (most / 2), dweight + row * inputs + i, inputs, true);
      }
    });
  }
}

}  // namespace

bool takes_heads(int64_t head_dim) { return head_dim % (2 * LANES) == 0; }

void attention_forward(const AttentionShape& shape, const bf16* x, const AttentionWeights& weights,
                       const Angles& angles, float eps, bf16* y, float* rstd, const Attended& kept) {
  const int64_t width = shape.width, inner = shape.inner();
  const GemmKernels& gemm = gemm_kernels();
  const Parts parts = row_parts(shape);
  for_each_parallel(parts.count(), [&](int64_t part) {
    const Range rows = parts[part];
    bf16* qkv = kept.qkv + rows.first * 3 * inner;
    gemm.product_rounded(rows.count, 3 * inner, width / 2, x + rows.first * width, width, weights.qkv_forward, nullptr,
                         qkv, 3 * inner);
    rotate_rows(shape, angles, rows, qkv, 3 * inner, 2 * inner);
  });
  at::parallel_for(0, shape.batch * shape.heads, 1, [&](int64_t begin, int64_t end) {
    const ForwardScratch scratch(shape);
    for (int64_t i = begin; i < end; ++i) mix_head(shape, i / shape.heads, i % shape.heads, kept, scratch);
  });
  at::parallel_for(0, parts.count(), 1, [&](int64_t begin, int64_t end) {
    const Buffer<float> sums(parts.size() * width);
    for (int64_t part = begin; part < end; ++part) {
      const auto [first, count] = parts[part];
      gemm.product(count, width, inner / 2, kept.mixed + first * inner, inner, weights.output_forward, sums, width,
                   false);
      mlp_kernels().residual_norm(x + first * width, sums, count, width, y + first * width, rstd + first, eps);
    }
  });
}

void attention_backward(const AttentionShape& shape, const bf16* dy, const bf16* x, const bf16* y, const float* rstd,
                        const Attended& kept, const AttentionWeights& weights, const Angles& angles, bf16* dx,
                        float* dqkv, float* doutput) {
  const int64_t rows = shape.rows(), width = shape.width, inner = shape.inner();
  const GemmKernels& gemm = gemm_kernels();
  const Parts parts = row_parts(shape);
  const Buffer<bf16> dsum(rows * width), dmixed(rows * inner), dprojected(rows * 3 * inner);
  for_each_parallel(parts.count(), [&](int64_t part) {
    const auto [first, count] = parts[part];
    mlp_kernels().residual_norm_backward(dy + first * width, y + first * width, rstd + first, count, width,
                                         dsum + first * width);
    gemm.product_rounded(count, inner, width / 2, dsum + first * width, width, weights.output_backward, nullptr,
                         dmixed + first * inner, inner);
  });
  at::parallel_for(0, shape.batch * shape.heads, 1, [&](int64_t begin, int64_t end) {
    const BackwardScratch scratch(shape);
    for (int64_t i = begin; i < end; ++i) {
      unmix_head(shape, i / shape.heads, i % shape.heads, kept, angles, dmixed, dprojected, scratch);
    }
  });
  for_each_parallel(parts.count(), [&](int64_t part) {
    const auto [first, count] = parts[part];
    gemm.product_rounded(count, width, 3 * inner / 2, dprojected + first * 3 * inner, 3 * inner, weights.qkv_backward,
                         dsum + first * width, dx + first * width, width);
  });
  add_weight_gradient(rows, dprojected, 3 * inner, x, width, dqkv);
  add_weight_gradient(rows, dsum, width, kept.mixed, inner, doutput);
}

}  // namespace trainer
