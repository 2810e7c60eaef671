// Kernels of fused attention beside the products of gemm.h: the table of function pointers that one instruction set
// fills. Owns their signatures; leaves the order in which they are called to attention.cpp. Rows lie `ld` apart; columns
// are multiples of LANES, rows of scores padded to such a multiple of keys.
#pragma once

#include "gemm.h"

namespace trainer {

inline int64_t whole_vectors(int64_t count) { return (count + LANES - 1) / LANES * LANES; }

struct AttentionKernels {
  // Turns each head of `head_dim` columns by the angles of its row, given as [rows, head_dim / 2]; `direction` -1 turns
  // back.
  void (*rotate)(bf16* values, int64_t ld, int64_t rows, int64_t columns, int64_t head_dim, const float* cos,
                 const float* sin, float direction);
  // One block of keys of a softmax that is computed block by block: weights = 2^(scale * scores - peak), zero in the
  // padding. Raises `peak` to the largest exponent so far and adds to `sum`; what earlier blocks gave is to be
  // multiplied with `shrink`. All [rows]; `first` starts anew.
  void (*softmax)(const float* scores, int64_t ld, int64_t rows, int64_t keys, float scale, bool first, float* peak,
                  float* sum, float* shrink, bf16* weights);
  void (*multiply_rows)(float* values, int64_t ld, int64_t rows, int64_t columns, const float* factors);
  // out = in / divisors; null divisors: only rounds.
  void (*divide_rows)(const float* in, int64_t ld, int64_t rows, int64_t columns, const float* divisors, bf16* out,
                      int64_t ld_out);
  // out[row] = a[row] . b[row].
  void (*dots)(const bf16* a, int64_t lda, const bf16* b, int64_t ldb, int64_t rows, int64_t columns, float* out);
  // The weights again from `logsum` (peak + log2(sum)) as panels of pairs of rows, and the gradient of the products of
  // queries and keys, weights * (dweights - dots) * scale / log2(e), by rows and as such panels. Zero in the padding and
  // in the row that an odd count lacks.
  void (*softmax_backward)(const float* scores, const float* dweights, int64_t ld, int64_t rows, int64_t keys,
                           float scale, const float* logsum, const float* dots, uint32_t* weight_panels,
                           uint32_t* dscore_panels, bf16* dscores);
  // [rows, columns] -> [columns, rows], rounded; any number of columns.
  void (*round_transposed)(const float* in, int64_t ld, int64_t rows, int64_t columns, bf16* out, int64_t ld_out);
};

// Throws where has_bf16_products() is false.
const AttentionKernels& attention_kernels();

}  // namespace trainer
