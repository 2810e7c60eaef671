// Element-wise kernels of fused attention: the table of function pointers that one instruction set fills.
// Owns their signatures; leaves matrix products and their order to attention.cpp. Rows lie `ld` apart; columns are
// multiples of LANES unless they count keys, whose rows are padded to such a multiple.
#pragma once

#include "kernels.h"

namespace trainer {

inline int64_t whole_vectors(int64_t count) { return (count + LANES - 1) / LANES * LANES; }

struct AttentionKernels {
  // Rounds `in` [rows, columns] and turns each head of `head_dim` columns by the angles of its row, given as
  // [rows, head_dim / 2]; `direction` -1 turns back. Null angles: only rounds.
  void (*rotate)(const float* in, int64_t ld, int64_t rows, int64_t columns, int64_t head_dim, const float* cos,
                 const float* sin, float direction, bf16* out, int64_t ld_out);
  // One block of keys of a softmax that is computed block by block: weights = 2^(scale * scores - peak), zero in the
  // padding. Raises `peak` to the largest exponent so far and adds to `sum`; what earlier blocks gave is to be
  // multiplied with `shrink`. All [rows]; `first` starts anew.
  void (*softmax)(const float* scores, int64_t ld, int64_t rows, int64_t keys, float scale, bool first, float* peak,
                  float* sum, float* shrink, bf16* weights, int64_t ld_weights);
  void (*multiply_rows)(float* values, int64_t ld, int64_t rows, int64_t columns, const float* factors);
  // out = in / divisors.
  void (*divide_rows)(const float* in, int64_t ld, int64_t rows, int64_t columns, const float* divisors, bf16* out,
                      int64_t ld_out);
  // out[row] = a[row] . b[row].
  void (*dots)(const bf16* a, int64_t lda, const bf16* b, int64_t ldb, int64_t rows, int64_t columns, float* out);
  // The weights again from `logsum` (peak + log2(sum)) as pairs of rows, and the gradient of the scaled scores
  // weights * (dweights - dots) * scale / log2(e) by rows and as pairs; zero in the padding and in the row that an odd
  // count lacks.
  void (*softmax_backward)(const float* scores, const float* dweights, int64_t ld, int64_t rows, int64_t keys,
                           float scale, const float* logsum, const float* dots, uint32_t* weight_pairs,
                           uint32_t* dscore_pairs, int64_t ld_pairs, bf16* dscores, int64_t ld_rows);
  // [rows, columns] -> [columns, ld_out]: columns from `rows` on, as far as they fill a vector, are zero.
  void (*transpose_words)(const uint32_t* in, int64_t ld, int64_t rows, int64_t columns, uint32_t* out,
                          int64_t ld_out);
  // The same for bfloat16; columns from `rows` on are zero up to an even count and beyond that left alone.
  void (*transpose)(const bf16* in, int64_t ld, int64_t rows, int64_t columns, bf16* out, int64_t ld_out);
  // [rows, columns] as pairs of rows, the missing row of an odd count being zero.
  void (*pack_pairs)(const bf16* in, int64_t ld, int64_t rows, int64_t columns, uint32_t* out);
  // out = in, rounded, + residual.
  void (*add_rounded)(const float* in, const bf16* residual, bf16* out, int64_t count);
  // y = (x + delta) * rstd, rstd = 1 / sqrt(mean((x + delta)^2) + eps) per row of contiguous [rows, columns].
  void (*residual_norm)(const bf16* x, const float* delta, int64_t rows, int64_t columns, bf16* y, float* rstd,
                        float eps);
};

// Throws where has_bf16_products() is false.
const AttentionKernels& attention_kernels();

}  // namespace trainer
