// Kernels of the structured mixers in float32, over the live sites of one board at a time.
// Owns their arithmetic; leaves which sites there are to sites.rs, gradients' bookkeeping to site_operators.cpp.
#pragma once

#include <cstdint>

namespace trainer {

// Kinds of units that a candidate belongs to: its cell, and its digit in its row, column and box. Rows and columns have
// their weights in common.
constexpr int64_t UNIT_KINDS = 4;
constexpr int64_t UNIT_PARTS = 3;
constexpr int64_t PART_OF_KIND[UNIT_KINDS] = {0, 1, 1, 2};
// Cells that a stencil reads.
constexpr int64_t STENCIL = 9;
// Widths are multiples of this: a vector of AVX2.
constexpr int64_t SITE_WIDTH = 8;

struct UnitsShape {
  int64_t sites, units, width, pool;
};

// Weights of UnitsMixing and their transposes.
struct UnitsWeights {
  const float *input;    // [3 pool, width]
  const float *output;   // [width, 3 pool]
  const float *input_t;  // [width, 3 pool]
  const float *output_t; // [3 pool, width]
};

// What a board's forward pass leaves for its backward pass.
struct UnitsKept {
  float *pooled;   // [units, pool]
  int32_t *argmax; // [units, pool / 2], sites of the board
  float *rstd;     // [sites]
};

struct MlpSiteShape {
  int64_t sites, width, inner;
};

// Weights of a SwiGLU and their transposes; `stencil` [9, inner] where the mixer is local, else null.
struct SiteMlpWeights {
  const float *gate_up;   // [2 inner, width]
  const float *down;      // [width, inner]
  const float *gate_up_t; // [width, 2 inner]
  const float *down_t;    // [inner, width]
  const float *stencil;
};

struct SiteMlpGradients {
  float *gate_up, *down;
  float *stencil; // [9, inner]
};

// One board each. `links`: [sites, 4] units of a candidate; [sites, 9] cells around a cell, `sites` where none lives.
// `scratch` holds as many floats as the functions of that name say.
struct SiteKernels {
  int64_t (*units_scratch)(const UnitsShape&);
  void (*units_forward)(const UnitsShape&, const float* x, const int32_t* links, const UnitsWeights&, float eps, float* y,
                        const UnitsKept&, float* scratch);
  // Adds to the gradients of the weights, `dinput` and `doutput`.
  void (*units_backward)(const UnitsShape&, const float* dy, const float* x, const float* y, const int32_t* links,
                         const UnitsWeights&, const UnitsKept&, float* dx, float* dinput, float* doutput, float* scratch);
  int64_t (*mlp_scratch)(const MlpSiteShape&);
  // `kept`: [sites, 2 inner] gates and ups, or null where no gradient is wanted.
  void (*mlp_forward)(const MlpSiteShape&, const float* x, const int32_t* links, const SiteMlpWeights&, float eps, float* y,
                      float* rstd, float* kept, float* scratch);
  void (*mlp_backward)(const MlpSiteShape&, const float* dy, const float* x, const float* y, const int32_t* links,
                       const SiteMlpWeights&, const float* rstd, const float* kept, float* dx, const SiteMlpGradients&,
                       float* scratch);
};

// Those for the processor that the program runs on.
const SiteKernels& site_kernels();

}  // namespace trainer
