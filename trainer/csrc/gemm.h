// Products of bfloat16 matrices in registers of AVX-512, and the layouts of their operands.
// Owns the interface of the kernels that gemm.cpp fills; leaves threads and scratch memory to its callers.
//
// The first operand lies by rows, of an even number of values that is a whole number of pairs. The second lies in panels
// of PANEL columns (the last as wide as what is left, rounded up to LANES), one behind the other; a panel is
// [pairs][columns] words, a word being two values of neighbouring rows. A kernel's share of work is whatever rows and
// panels it is called for: callers cut, kernels neither allocate nor start threads.
#pragma once

#include "kernels.h"

namespace trainer {

// Columns of a panel.
constexpr int64_t PANEL_COLUMNS = 64;

struct GemmKernels {
  // c [rows, columns] (float32, rows `ldc` apart) = a [rows, 2 pairs] (rows `lda` apart) times panels `b`, added to what
  // is there where `add` says so. Any number of columns.
  void (*product)(int64_t rows, int64_t columns, int64_t pairs, const bf16* a, int64_t lda, const uint32_t* b, float* c,
                  int64_t ldc, bool add);
  // out [rows, columns] = the same rounded, plus `residual` unless null (both `ld` apart). Columns in multiples of 32.
  void (*product_rounded)(int64_t rows, int64_t columns, int64_t pairs, const bf16* a, int64_t lda, const uint32_t* b,
                          const bf16* residual, bf16* out, int64_t ld);

  // Panels of `in` [rows, columns] (rows `ld` apart, columns a multiple of 32), whose rows are paired, the missing row of
  // an odd count being zero. `panel_words` from one panel to the next.
  void (*pack)(const bf16* in, int64_t rows, int64_t columns, int64_t ld, uint32_t* out, int64_t panel_words);
  // Panels of the transposed `in` [rows, columns]: pairs of columns (a multiple of 32), a panel for PANEL_COLUMNS rows,
  // filled up with zeros to LANES.
  void (*pack_transposed)(const bf16* in, int64_t rows, int64_t columns, int64_t ld, uint32_t* out);
  // [rows, columns] -> [columns, rows], rows of the result `ld_out` apart, as a first operand; columns a multiple of 32.
  // An odd number of rows is filled up with zero.
  void (*transpose)(const bf16* in, int64_t rows, int64_t columns, int64_t ld, bf16* out, int64_t ld_out);
};

// Throws where has_bf16_products() is false.
const GemmKernels& gemm_kernels();

}  // namespace trainer
