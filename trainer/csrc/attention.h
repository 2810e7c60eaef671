// Multi-head self-attention with its projections and residual norm on raw bfloat16 buffers, forward and backward.
// Owns the order of matrix products and kernels; leaves tensors and autograd to attention_operator.cpp.
#pragma once

#include "kernels.h"

namespace trainer {

// Sizes: `batch` matrices [tokens, width]; queries, keys and values have heads * head_dim columns each.
struct AttentionShape {
  int64_t batch, tokens, width, heads, head_dim;

  int64_t rows() const { return batch * tokens; }
  int64_t inner() const { return heads * head_dim; }
};

// Whether heads are whole vectors in both of their halves.
bool takes_heads(int64_t head_dim);

// Weights as panels of gemm.h: [width, 3 inner], [3 inner, width], [inner, width] and [width, inner].
struct AttentionWeights {
  const uint32_t *qkv_forward, *qkv_backward, *output_forward, *output_backward;
};

// Rotary angles [tokens, head_dim / 2]; null where positions are not encoded that way.
struct Angles {
  const float *cos, *sin;
};

// What backward wants to know. Queries and keys are kept rotated; `logsum` is the binary logarithm of a softmax's sum.
struct Attended {
  bf16* qkv;      // [rows, 3 inner]
  bf16* mixed;    // [rows, inner]
  float* logsum;  // [batch, heads, tokens]
};

// y [rows, width], rstd [rows].
void attention_forward(const AttentionShape& shape, const bf16* x, const AttentionWeights& weights,
                       const Angles& angles, float eps, bf16* y, float* rstd, const Attended& kept);

// dx [rows, width]; adds to dqkv [3 inner, width] and doutput [width, inner] in float32.
void attention_backward(const AttentionShape& shape, const bf16* dy, const bf16* x, const bf16* y, const float* rstd,
                        const Attended& kept, const AttentionWeights& weights, const Angles& angles, bf16* dx,
                        float* dqkv, float* doutput);

}  // namespace trainer
