// The gated MLP and token mixing on raw bfloat16 buffers, forward and backward, cache-sized piece by piece.
// Owns the order of matrix products and kernels; leaves tensors and autograd to operators.cpp.
#pragma once

#include "kernels.h"

namespace trainer {

// Sizes of a gated MLP: `rows` vectors of `width`, `inner` gates.
struct MlpShape {
  int64_t rows, width, inner;
};

// Sizes of token mixing: `batch` matrices [tokens, width], gates over the tokens.
struct MixingShape {
  int64_t batch, tokens, width, inner;
};

// Gates that are worked on at once; `inner` is a multiple of it.
constexpr int64_t GATES = 256;

// Layouts of the two weights of a gated MLP. Over channels they are the second operand of the products and lie as
// pairs, in blocks of GATES columns; over tokens they are the first and lie by rows, padded to an even length.
struct MlpWeights {
  const bf16 *gate_up_forward, *gate_up_backward, *down_forward, *down_backward;
};

inline int64_t even(int64_t count) { return count + count % 2; }

// out [rows, width]; gate_up [rows, 2 inner] is kept unless null.
void mlp_forward(const MlpShape& shape, const bf16* x, const MlpWeights& weights, bf16* out, bf16* gate_up);

// dx [rows, width]; dgate_up [2 inner, width] and ddown [width, inner] in float32.
void mlp_backward(const MlpShape& shape, const bf16* dout, const bf16* x, const bf16* gate_up,
                  const MlpWeights& weights, bf16* dx, float* dgate_up, float* ddown);

// y [batch, tokens, width], rstd [batch, width]; gate_up [batch, 2 inner, width] is kept unless null.
void mixing_forward(const MixingShape& shape, const bf16* x, const MlpWeights& weights, float eps, bf16* y,
                    float* rstd, bf16* gate_up);

// dx [batch, tokens, width]; dgate_up [2 inner, tokens] and ddown [tokens, inner] in float32.
void mixing_backward(const MixingShape& shape, const bf16* dy, const bf16* x, const bf16* y, const float* rstd,
                     const bf16* gate_up, const MlpWeights& weights, bf16* dx, float* dgate_up, float* ddown);

}  // namespace trainer
