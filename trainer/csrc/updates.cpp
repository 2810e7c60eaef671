// The updates of updates.h for one instruction set; compiled once per set, with UPDATE_VARIANT naming the table, and
// without contraction: every rounding is one that the plain operations of trainer/src/optimizer make.

#include "updates.h"

#include <cmath>

namespace trainer {
namespace {

// libtorch interpolates with a fused multiplication where the processor has one.
inline float interpolated(float from, float to, float weight) {
#ifdef __FMA__
  return std::fma(weight, to - from, from);
#else
  return from + weight * (to - from);
#endif
}

void adamw(const AdamWStep& step, float* __restrict weights, float* __restrict exp_avg, float* __restrict exp_avg_sq,
           const float* __restrict gradient, int64_t count) {
  const auto [shrink, share1, beta2, share2, correction2, eps, rate] = step;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const float g = gradient[i];
    const float first = interpolated(exp_avg[i], g, share1);
    const float second = exp_avg_sq[i] * beta2 + g * g * share2;
    const float direction = first / (std::sqrt(second) / correction2 + eps);
    exp_avg[i] = first;
    exp_avg_sq[i] = second;
    weights[i] = weights[i] * shrink - direction * rate;
  }
}

void moving_average(float decay, float share, float* __restrict average, const float* __restrict weights,
                    int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) average[i] = average[i] * decay + weights[i] * share;
}

}  // namespace

extern const UpdateKernels UPDATE_VARIANT;
const UpdateKernels UPDATE_VARIANT = {adamw, moving_average};

}  // namespace trainer
