// Element-wise kernels of the fused operators: the table of function pointers that one instruction set fills.
// Owns their signatures; leaves matrix products to gemm.h and blocks.h, autograd to operators.cpp.
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

// Float32 values of a vector.
constexpr int64_t LANES = 16;

// The table for this processor.
const RowKernels& row_kernels();

// Whether this processor multiplies bfloat16 matrices natively, which gemm.h builds on.
bool has_bf16_products();

}  // namespace trainer
