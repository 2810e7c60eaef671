// Element-wise kernels of the fused operators: the table of function pointers that one instruction set fills.
// Owns their signatures; leaves matrix products to blocks.cpp, autograd to operators.cpp.
// A `bf16` is the upper half of a float32; "pairs" are two such values of neighbouring rows in one 32-bit word, the
// layout in which the matrix products want their second operand: [ceil(rows / 2), columns].
#pragma once

#include <cstdint>

namespace trainer {

using bf16 = std::uint16_t;

struct RowKernels {
  // y = (x + delta) * rstd, rstd = 1 / sqrt(mean((x + delta)^2) + eps) per row.
  void (*residual_norm)(const bf16* x, const bf16* delta, bf16* y, float* rstd, int64_t rows, int64_t columns,
                        float eps);
  // Gradient of x and delta alike from y and rstd.
  void (*residual_norm_backward)(const bf16* dy, const bf16* y, const float* rstd, bf16* dx, int64_t rows,
                                 int64_t columns);
  // out [rows, columns] = silu(gate) * up for gate_up [rows, 2 * columns].
  void (*silu_mul)(const bf16* gate_up, bf16* out, int64_t rows, int64_t columns);
  void (*silu_mul_backward)(const bf16* dout, const bf16* gate_up, bf16* dgate_up, int64_t rows, int64_t columns);
};

// For processors with has_bf16_products(); columns are multiples of LANES.
struct BlockKernels {
  // act = silu(gate) * up from float32 accumulators; gate and up are kept in `saved_*` unless these are null.
  void (*gate)(const float* gate, const float* up, int64_t ld, int64_t rows, int64_t columns, bf16* act, int64_t ld_act,
               bf16* saved_gate, bf16* saved_up, int64_t ld_saved);
  // The same, act as pairs of rows; `rows` is even.
  void (*gate_to_pairs)(const float* gate, const float* up, int64_t ld, int64_t rows, int64_t columns,
                        uint32_t* act_pairs, int64_t ld_act, bf16* saved_gate, bf16* saved_up, int64_t ld_saved);
  // Gradients of gate and up, by rows and as pairs, and act again: as pairs or by rows, whichever is not null.
  void (*gate_backward)(const float* dact, int64_t ld, const bf16* gate, const bf16* up, int64_t ld_saved, int64_t rows,
                        int64_t columns, bf16* dgate, bf16* dup, int64_t ld_rows, uint32_t* dgate_pairs,
                        uint32_t* dup_pairs, int64_t ld_pairs, uint32_t* act_pairs, bf16* act_rows, int64_t ld_act);
  void (*round_rows)(const float* in, bf16* out, int64_t count);
  void (*add_rounded)(const float* in, const bf16* residual, bf16* out, int64_t count);
  // residual_norm over the rows of [rows, columns]; rstd [columns].
  void (*column_norm)(const bf16* x, const float* delta, int64_t rows, int64_t columns, bf16* y, float* rstd,
                      float eps);
  void (*column_norm_backward)(const bf16* dy, const bf16* y, const float* rstd, int64_t rows, int64_t columns,
                               bf16* dx, uint32_t* dx_pairs);
  // [rows, columns] with rows `ld` apart as pairs of rows, the missing row of an odd count being zero.
  void (*pack_pairs)(const bf16* in, int64_t rows, int64_t columns, int64_t ld, uint32_t* out);
  // [rows, words] -> [words, ld_out], columns from `rows` on being zero: pairs of the transposed matrix.
  void (*transpose_words)(const uint32_t* in, int64_t rows, int64_t words, uint32_t* out, int64_t ld_out);
  // [rows, columns] -> [columns, ld_out], columns from `rows` on left alone.
  void (*transpose)(const bf16* in, int64_t rows, int64_t columns, bf16* out, int64_t ld_out);
};

constexpr int64_t LANES = 16;

// The table for this processor.
const RowKernels& row_kernels();

// Whether this processor multiplies bfloat16 matrices natively, which the block operators build on.
bool has_bf16_products();

// Throws where has_bf16_products() is false.
const BlockKernels& block_kernels();

}  // namespace trainer
