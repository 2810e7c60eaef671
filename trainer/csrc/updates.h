// Updates of all weights in one pass over memory: the table of function pointers that one instruction set fills.
// Owns their formulas' constants; leaves schedules and the choice between them and plain operations to
// trainer/src/optimizer.
#pragma once

#include <cstdint>

namespace trainer {

// Constants of one AdamW step, rounded to float32 as libtorch rounds scalars.
struct AdamWStep {
  // What decoupled decay leaves of a weight; 1 - beta1; beta2; 1 - beta2; sqrt(1 - beta2^step); epsilon;
  // lr / (1 - beta1^step).
  float shrink, share1, beta2, share2, correction2, eps, rate;
};

struct UpdateKernels {
  // What the plain operations compute one by one: bit for bit, but for the square root, which is rounded to nearest
  // here, and not always where libtorch takes it from MKL.
  void (*adamw)(const AdamWStep& step, float* weights, float* exp_avg, float* exp_avg_sq, const float* gradient,
                int64_t count);
  // average = decay * average + share * weights.
  void (*moving_average)(float decay, float share, float* average, const float* weights, int64_t count);
};

// The table for this processor.
const UpdateKernels& update_kernels();

}  // namespace trainer
