// The gated MLP and token mixing on raw bfloat16 buffers, forward and backward, cache-sized piece by piece.
// Owns the order of matrix products and kernels; leaves tensors and autograd to operators.cpp.
#pragma once

#include "gemm.h"

namespace trainer {

// Sizes of a gated MLP: `rows` vectors of `width`, `inner` gates.
struct MlpShape {
  int64_t rows, width, inner;
};

// Sizes of token mixing: `batch` matrices [tokens, width], gates over the tokens.
struct MixingShape {
  int64_t batch, tokens, width, inner;
};

// `inner` is a multiple of it.
constexpr int64_t GATES = 256;
// Gates of a panel of an MLP's forward weights, which lie beside their ups.
constexpr int64_t GATES_OF_PANEL = 32;
// Channels over which tokens are mixed at once; widths are multiples of it.
constexpr int64_t CHANNELS = 32;

// The weights of a gated MLP over channels, panels of gemm.h: [width, 2 inner] with gates beside their ups,
// [2 inner, width], [inner, width] and [width, inner].
struct ChannelWeights {
  const uint32_t *gate_up_forward, *gate_up_backward, *down_forward, *down_backward;
};

// The weights of a gated MLP over tokens, first operands of gemm.h: [2 inner, tokens], [tokens, 2 inner],
// [tokens, inner] and [inner, tokens], rows padded to an even length.
struct TokenWeights {
  const bf16 *gate_up_forward, *gate_up_backward, *down_forward, *down_backward;
};

inline int64_t even(int64_t count) { return count + count % 2; }

// The residual norm that may follow a gated MLP: y = (x + mlp(x)) * rstd, of which `rstd` [rows] is kept.
struct ResidualNorm {
  const bf16* y;
  const float* rstd;
};

// out [rows, width] = mlp(x), or its residual norm where `rstd` [rows] is not null. Gates are kept unless `gate_up` is
// null: [inner / GATES_OF_PANEL, rows, 2, GATES_OF_PANEL], in the order in which the backward pass reads them.
void mlp_forward(const MlpShape& shape, const bf16* x, const ChannelWeights& weights, float eps, bf16* out, float* rstd,
                 bf16* gate_up);

// dx [rows, width]; adds to dgate_up [2 inner, width] and ddown [width, inner] in float32. `norm` is null for the MLP
// alone.
void mlp_backward(const MlpShape& shape, const bf16* dout, const bf16* x, const ResidualNorm* norm, const bf16* gate_up,
                  const ChannelWeights& weights, bf16* dx, float* dgate_up, float* ddown);

// y [batch, tokens, width], rstd [batch, width]. Gates are kept unless `gate_up` is null:
// [batch, width / CHANNELS, inner, 2, CHANNELS].
void mixing_forward(const MixingShape& shape, const bf16* x, const TokenWeights& weights, float eps, bf16* y,
                    float* rstd, bf16* gate_up);

// dx [batch, tokens, width]; adds to dgate_up [2 inner, tokens] and ddown [tokens, inner] in float32.
void mixing_backward(const MixingShape& shape, const bf16* dy, const bf16* x, const bf16* y, const float* rstd,
                     const bf16* gate_up, const TokenWeights& weights, bf16* dx, float* dgate_up, float* ddown);

// Kernels on a piece of an MLP's rows, `shape.rows` counting these.
struct MlpKernels {
  // act [rows, inner]; gates are kept unless null, the panels `kept_panel` values apart.
  void (*gate)(const MlpShape& shape, const bf16* x, const uint32_t* gate_up, bf16* act, bf16* kept,
               int64_t kept_panel);
  // From the gradient of the MLP's result: dgate_up [rows, 2 inner], and act again as panels of pairs of rows,
  // `act_panel` words apart.
  void (*gate_backward)(const MlpShape& shape, const bf16* dout, const uint32_t* down, const bf16* kept,
                        int64_t kept_panel, bf16* dgate_up, uint32_t* act_pairs, int64_t act_panel);
  // residual_norm of kernels.h from a float32 `delta` that is yet to be rounded.
  void (*residual_norm)(const bf16* x, const float* delta, int64_t rows, int64_t width, bf16* y, float* rstd,
                        float eps);
  void (*residual_norm_backward)(const bf16* dy, const bf16* y, const float* rstd, int64_t rows, int64_t width,
                                 bf16* dx);
};

// Memory that token mixing of CHANNELS channels works in: [tokens / 2, CHANNELS], [inner, CHANNELS] (forward half of
// it) and [tokens, CHANNELS].
struct MixingScratch {
  uint32_t *token_pairs, *gate_pairs;
  float* sums;
};

// Kernels on CHANNELS channels of one example, every pointer at the first of them.
struct MixingKernels {
  void (*forward)(const MixingShape& shape, const bf16* x, const TokenWeights& weights, float eps,
                  const MixingScratch& scratch, bf16* y, float* rstd, bf16* kept);
  // dsum [tokens, width]: gradient of the residual sum; dgate_up [2 inner, width]; act [inner, width] again.
  void (*backward)(const MixingShape& shape, const bf16* dy, const bf16* y, const float* rstd, const bf16* kept,
                   const TokenWeights& weights, const MixingScratch& scratch, bf16* dsum, bf16* dgate_up, bf16* act,
                   bf16* dx);
};

// These throw where has_bf16_products() is false.
const MlpKernels& mlp_kernels();
const MixingKernels& mixing_kernels();

}  // namespace trainer
