// See attention.h. Scores exist for a block of queries and a block of keys at a time, in the cache; forward computes
// the softmax over the blocks as they come, backward computes the scores again.
// Work is split so that results depend neither on timing nor on the number of threads.

#include "attention.h"

#include "attention_kernels.h"
#include "products.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace trainer {

#if defined(__x86_64__)
extern const AttentionKernels attention_kernels_avx512_bf16;

const AttentionKernels& attention_kernels() {
  if (!has_bf16_products()) throw std::runtime_error("this processor has no bfloat16 products");
  return attention_kernels_avx512_bf16;
}
#else
const AttentionKernels& attention_kernels() { throw std::runtime_error("this processor has no bfloat16 products"); }
#endif

namespace {

// Rows of a projection that are worked on at once, at most.
constexpr int64_t ROWS = 128;
// Queries and keys whose scores are worked on at once, at most; even, and a multiple of LANES.
constexpr int64_t QUERIES = 64, KEYS = 128;
// Rows that enter the weights' gradients at once; rows and columns of a gradient that one product computes.
constexpr int64_t GRADIENT_ROWS = 512, GRADIENT_PAIRS = GRADIENT_ROWS / 2, GRADIENT_TILE = 128;
// Rows that are rearranged at once for them.
constexpr int64_t GATHERED_ROWS = 64;
constexpr float LOG2_E = 1.44269504088896341f;

int64_t even(int64_t count) { return count + count % 2; }

struct Range {
  int64_t first, count;
};

// `count` things in equal parts of at most `largest`, an even number each.
class Parts {
 public:
  Parts(int64_t count, int64_t largest, int64_t multiple = 1) : total_(count) {
    const int64_t parts = (count + largest - 1) / largest;
    const int64_t shares = (parts + multiple - 1) / multiple * multiple;
    size_ = even((count + shares - 1) / shares);
  }
  int64_t count() const { return (total_ + size_ - 1) / size_; }
  int64_t size() const { return size_; }
  Range operator[](int64_t index) const { return {index * size_, std::min(size_, total_ - index * size_)}; }

 private:
  int64_t total_, size_;
};

const uint32_t* as_words(const void* values) { return static_cast<const uint32_t*>(values); }

float score_scale(const AttentionShape& shape) {
  return LOG2_E / std::sqrt(static_cast<float>(shape.head_dim));
}

Parts row_parts(const AttentionShape& shape) { return {shape.rows(), ROWS, at::get_num_threads()}; }

// Rotates rows of the flat batch, example by example.
void rotate_rows(const AttentionShape& shape, const Angles& angles, const Range& rows, const float* in, int64_t ld,
                 int64_t columns, bf16* out, int64_t ld_out) {
  const int64_t half = shape.head_dim / 2;
  for (int64_t row = 0; row < rows.count;) {
    const int64_t token = (rows.first + row) % shape.tokens;
    const int64_t count = std::min(rows.count - row, shape.tokens - token);
    attention_kernels().rotate(in + row * ld, ld, count, columns, shape.head_dim,
                               angles.cos ? angles.cos + token * half : nullptr,
                               angles.cos ? angles.sin + token * half : nullptr, 1.0f, out + row * ld_out, ld_out);
    row += count;
  }
}

void project(const AttentionShape& shape, const Range& rows, const bf16* x, const AttentionWeights& weights,
             const Angles& angles, float* sums, bf16* qkv) {
  const int64_t inner = shape.inner(), width = shape.width;
  for (int64_t first = 0; first < 3 * inner; first += PANEL) {
    const int64_t columns = std::min(PANEL, 3 * inner - first);
    product(rows.count, columns, width, x + rows.first * width, width, weights.qkv_forward + first * width, columns,
            sums, columns);
    const int64_t rotated = std::clamp<int64_t>(2 * inner - first, 0, columns);
    bf16* out = qkv + rows.first * 3 * inner + first;
    rotate_rows(shape, angles, rows, sums, columns, rotated, out, 3 * inner);
    rotate_rows(shape, {nullptr, nullptr}, rows, sums + rotated, columns, columns - rotated, out + rotated, 3 * inner);
  }
}

// Scratch memory of a thread that mixes the values of one head after the other.
struct ForwardScratch {
  explicit ForwardScratch(const AttentionShape& shape)
      : key_words(whole_vectors(shape.tokens) * shape.head_dim / 2),
        value_pairs(even(shape.tokens) / 2 * shape.head_dim),
        scores(QUERIES * KEYS),
        weights(QUERIES * KEYS),
        sums(QUERIES * shape.head_dim),
        peaks(3 * QUERIES) {}
  Buffer<uint32_t> key_words, value_pairs;
  Buffer<float> scores;
  Buffer<bf16> weights;
  Buffer<float> sums, peaks;
};

void mix_head(const AttentionShape& shape, int64_t example, int64_t head, const Attended& kept,
              const ForwardScratch& scratch) {
  const AttentionKernels& kernel = attention_kernels();
  const int64_t tokens = shape.tokens, inner = shape.inner(), depth = shape.head_dim, ld = 3 * inner;
  const bf16* queries = kept.qkv + example * tokens * ld + head * depth;
  const bf16 *keys = queries + inner, *values = keys + inner;
  float *peak = scratch.peaks, *sum = peak + QUERIES, *shrink = sum + QUERIES;
  for (int64_t start = 0; start < tokens; start += KEYS) {
    const int64_t count = std::min(KEYS, tokens - start);
    kernel.transpose_words(as_words(keys + start * ld), ld / 2, count, depth / 2,
                           scratch.key_words + start * depth / 2, whole_vectors(count));
  }
  kernel.pack_pairs(values, ld, tokens, depth, scratch.value_pairs);

  const Parts blocks(tokens, QUERIES);
  for (int64_t block = 0; block < blocks.count(); ++block) {
    const auto [first, count] = blocks[block];
    for (int64_t start = 0; start < tokens; start += KEYS) {
      const int64_t present = std::min(KEYS, tokens - start), padded = whole_vectors(present);
      product(count, padded, depth, queries + first * ld, ld, as_rows(scratch.key_words + start * depth / 2), padded,
              scratch.scores, padded);
      kernel.softmax(scratch.scores, padded, count, present, score_scale(shape), start == 0, peak, sum, shrink,
                     scratch.weights, padded);
      if (start > 0) kernel.multiply_rows(scratch.sums, depth, count, depth, shrink);
      product(count, depth, even(present), scratch.weights, padded, as_rows(scratch.value_pairs + start / 2 * depth),
              depth, scratch.sums, depth, start > 0);
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
        key_words(ld_columns * shape.head_dim / 2),
        value_words(ld_columns * shape.head_dim / 2),
        key_pairs(even(shape.tokens) / 2 * shape.head_dim),
        query_columns(shape.head_dim * ld_columns),
        dmixed_columns(shape.head_dim * ld_columns),
        scores(QUERIES * KEYS),
        dweights(QUERIES * KEYS),
        weight_pairs(QUERIES / 2 * KEYS),
        dscore_pairs(QUERIES / 2 * KEYS),
        dscores(QUERIES * KEYS),
        dqueries(shape.tokens * shape.head_dim),
        dkeys(shape.head_dim * KEYS),
        dvalues(shape.head_dim * KEYS),
        turned(KEYS * shape.head_dim),
        dots(shape.tokens) {}
  int64_t ld_columns;
  Buffer<uint32_t> key_words, value_words, key_pairs;
  Buffer<bf16> query_columns, dmixed_columns;
  Buffer<float> scores, dweights;
  Buffer<uint32_t> weight_pairs, dscore_pairs;
  Buffer<bf16> dscores;
  Buffer<float> dqueries, dkeys, dvalues, turned, dots;
};

// Gradients of the queries, keys and values of a head, `dqkv` [rows, 3 inner], from that of what it mixed.
void unmix_head(const AttentionShape& shape, int64_t example, int64_t head, const Attended& kept, const Angles& angles,
                const bf16* dmixed, bf16* dqkv, const BackwardScratch& scratch) {
  const AttentionKernels& kernel = attention_kernels();
  const int64_t tokens = shape.tokens, inner = shape.inner(), depth = shape.head_dim, ld = 3 * inner;
  const int64_t ld_columns = scratch.ld_columns, at = example * tokens * inner + head * depth;
  const bf16* queries = kept.qkv + example * tokens * ld + head * depth;
  const bf16 *keys = queries + inner, *values = keys + inner, *gradient = dmixed + at;
  bf16* dqueries = dqkv + example * tokens * ld + head * depth;
  bf16 *dkeys = dqueries + inner, *dvalues = dkeys + inner;
  const float* logsum = kept.logsum + (example * shape.heads + head) * tokens;
  kernel.dots(gradient, inner, kept.mixed + at, inner, tokens, depth, scratch.dots);
  kernel.transpose(queries, ld, tokens, depth, scratch.query_columns, ld_columns);
  kernel.transpose(gradient, inner, tokens, depth, scratch.dmixed_columns, ld_columns);
  kernel.pack_pairs(keys, ld, tokens, depth, scratch.key_pairs);

  const Parts blocks(tokens, QUERIES);
  for (int64_t start = 0; start < tokens; start += KEYS) {
    const int64_t present = std::min(KEYS, tokens - start), padded = whole_vectors(present);
    kernel.transpose_words(as_words(keys + start * ld), ld / 2, present, depth / 2, scratch.key_words, padded);
    kernel.transpose_words(as_words(values + start * ld), ld / 2, present, depth / 2, scratch.value_words, padded);
    for (int64_t block = 0; block < blocks.count(); ++block) {
      const auto [first, count] = blocks[block];
      product(count, padded, depth, queries + first * ld, ld, as_rows(scratch.key_words), padded, scratch.scores,
              padded);
      product(count, padded, depth, gradient + first * inner, inner, as_rows(scratch.value_words), padded,
              scratch.dweights, padded);
      kernel.softmax_backward(scratch.scores, scratch.dweights, padded, count, present, score_scale(shape),
                              logsum + first, scratch.dots + first, scratch.weight_pairs, scratch.dscore_pairs, padded,
                              scratch.dscores, padded);
      product(depth, padded, even(count), scratch.dmixed_columns + first, ld_columns, as_rows(scratch.weight_pairs),
              padded, scratch.dvalues, padded, block > 0);
      product(depth, padded, even(count), scratch.query_columns + first, ld_columns, as_rows(scratch.dscore_pairs),
              padded, scratch.dkeys, padded, block > 0);
      product(count, depth, even(present), scratch.dscores, padded, as_rows(scratch.key_pairs + start / 2 * depth),
              depth, scratch.dqueries + first * depth, depth, start > 0);
    }
    const auto put = [&](const float* columns, const Angles& turn, bf16* out) {
      kernel.transpose_words(as_words(columns), padded, depth, present,
                             reinterpret_cast<uint32_t*>(static_cast<float*>(scratch.turned)), depth);
      const int64_t angle = start * depth / 2;
      kernel.rotate(scratch.turned, depth, present, depth, depth, turn.cos ? turn.cos + angle : nullptr,
                    turn.cos ? turn.sin + angle : nullptr, -1.0f, out + start * ld, ld);
    };
    put(scratch.dkeys, angles, dkeys);
    put(scratch.dvalues, {nullptr, nullptr}, dvalues);
  }
  kernel.rotate(scratch.dqueries, depth, tokens, depth, depth, angles.cos, angles.sin, -1.0f, dqueries, ld);
}

// dweight [outputs, inputs] = dout [rows, outputs] transposed times x [rows, inputs].
void weight_gradient(int64_t rows, const bf16* dout, int64_t outputs, const bf16* x, int64_t inputs, float* dweight) {
  Buffer<bf16> columns(outputs * GRADIENT_ROWS);
  Buffer<uint32_t> pairs(GRADIENT_PAIRS * inputs);
  for (int64_t start = 0; start < rows; start += GRADIENT_ROWS) {
    const int64_t gathered = std::min(GRADIENT_ROWS, rows - start);
    for_each_parallel((gathered + GATHERED_ROWS - 1) / GATHERED_ROWS, [&](int64_t chunk) {
      const int64_t first = chunk * GATHERED_ROWS, count = std::min(GATHERED_ROWS, gathered - first);
      attention_kernels().transpose(dout + (start + first) * outputs, outputs, count, outputs, columns + first,
                                    GRADIENT_ROWS);
      for (int64_t i = 0; i < inputs; i += PANEL) {
        const int64_t width = std::min(PANEL, inputs - i);
        attention_kernels().pack_pairs(x + (start + first) * inputs + i, inputs, count, width,
                                       pairs + i * GRADIENT_PAIRS + first / 2 * width);
      }
    });
    const int64_t tall = (outputs + GRADIENT_TILE - 1) / GRADIENT_TILE, wide = (inputs + PANEL - 1) / PANEL;
    for_each_parallel(tall * wide, [&](int64_t tile) {
      const int64_t row = tile % tall * GRADIENT_TILE, column = tile / tall * PANEL;
      const int64_t width = std::min(PANEL, inputs - column);
      product(std::min(GRADIENT_TILE, outputs - row), width, even(gathered), columns + row * GRADIENT_ROWS,
              GRADIENT_ROWS, as_rows(pairs + column * GRADIENT_PAIRS), width, dweight + row * inputs + column, inputs,
              start > 0);
    });
  }
}

}  // namespace

bool takes_heads(int64_t head_dim) { return head_dim >= 2 * LANES && PANEL % head_dim == 0; }

void pack_projection(const bf16* weight, int64_t outputs, int64_t inputs, bf16* forward, bf16* backward) {
  for (int64_t row = 0; row < outputs; row += PANEL) {
    const int64_t columns = std::min(PANEL, outputs - row);
    attention_kernels().transpose_words(as_words(weight + row * inputs), inputs / 2, columns, inputs / 2,
                                        reinterpret_cast<uint32_t*>(forward + row * inputs), columns);
  }
  for (int64_t column = 0; column < inputs; column += PANEL) {
    attention_kernels().pack_pairs(weight + column, inputs, outputs, std::min(PANEL, inputs - column),
                                   reinterpret_cast<uint32_t*>(backward + column * outputs));
  }
}

void attention_forward(const AttentionShape& shape, const bf16* x, const AttentionWeights& weights,
                       const Angles& angles, float eps, bf16* y, float* rstd, const Attended& kept) {
  const int64_t width = shape.width, inner = shape.inner();
  const Parts parts = row_parts(shape);
  at::parallel_for(0, parts.count(), 1, [&](int64_t begin, int64_t end) {
    Buffer<float> sums(parts.size() * PANEL);
    for (int64_t part = begin; part < end; ++part) project(shape, parts[part], x, weights, angles, sums, kept.qkv);
    at::native::cpublas::brgemm_release(true);
  });
  at::parallel_for(0, shape.batch * shape.heads, 1, [&](int64_t begin, int64_t end) {
    const ForwardScratch scratch(shape);
    for (int64_t i = begin; i < end; ++i) mix_head(shape, i / shape.heads, i % shape.heads, kept, scratch);
    at::native::cpublas::brgemm_release(true);
  });
  at::parallel_for(0, parts.count(), 1, [&](int64_t begin, int64_t end) {
    Buffer<float> sums(parts.size() * width);
    for (int64_t part = begin; part < end; ++part) {
      const auto [first, count] = parts[part];
      product_of_blocks(count, width, inner, kept.mixed + first * inner, inner, weights.output_forward, sums, width);
      attention_kernels().residual_norm(x + first * width, sums, count, width, y + first * width, rstd + first, eps);
    }
    at::native::cpublas::brgemm_release(true);
  });
}

void attention_backward(const AttentionShape& shape, const bf16* dy, const bf16* x, const bf16* y, const float* rstd,
                        const Attended& kept, const AttentionWeights& weights, const Angles& angles, bf16* dx,
                        float* dqkv, float* doutput) {
  const int64_t rows = shape.rows(), width = shape.width, inner = shape.inner();
  const Parts parts = row_parts(shape);
  Buffer<bf16> dsum(rows * width), dmixed(rows * inner), dprojected(rows * 3 * inner);
  at::parallel_for(0, parts.count(), 1, [&](int64_t begin, int64_t end) {
    Buffer<float> sums(parts.size() * inner);
    for (int64_t part = begin; part < end; ++part) {
      const auto [first, count] = parts[part];
      row_kernels().residual_norm_backward(dy + first * width, y + first * width, rstd + first, dsum + first * width,
                                           count, width);
      product_of_blocks(count, inner, width, dsum + first * width, width, weights.output_backward, sums, inner);
      attention_kernels().rotate(sums, inner, count, inner, shape.head_dim, nullptr, nullptr, 1.0f,
                                 dmixed + first * inner, inner);
    }
    at::native::cpublas::brgemm_release(true);
  });
  at::parallel_for(0, shape.batch * shape.heads, 1, [&](int64_t begin, int64_t end) {
    const BackwardScratch scratch(shape);
    for (int64_t i = begin; i < end; ++i) {
      unmix_head(shape, i / shape.heads, i % shape.heads, kept, angles, dmixed, dprojected, scratch);
    }
    at::native::cpublas::brgemm_release(true);
  });
  at::parallel_for(0, parts.count(), 1, [&](int64_t begin, int64_t end) {
    Buffer<float> sums(parts.size() * width);
    for (int64_t part = begin; part < end; ++part) {
      const auto [first, count] = parts[part];
      product_of_blocks(count, width, 3 * inner, dprojected + first * 3 * inner, 3 * inner, weights.qkv_backward, sums,
                        width);
      attention_kernels().add_rounded(sums, dsum + first * width, dx + first * width, count * width);
    }
    at::native::cpublas::brgemm_release(true);
  });
  weight_gradient(rows, dprojected, 3 * inner, x, width, dqkv);
  weight_gradient(rows, dsum, width, kept.mixed, inner, doutput);
}

}  // namespace trainer
