// The C interface of updates.h on tensors, which kernels.rs calls: checks, and shares of the work for the threads.

#include "operators.h"
#include "updates.h"

#include <ATen/Parallel.h>

#include <initializer_list>

namespace trainer {
namespace {

// Elements below which a thread is not worth waking.
constexpr int64_t GRAIN = 65536;

void check(std::initializer_list<const at::Tensor*> tensors) {
  const int64_t count = (*tensors.begin())->numel();
  for (const at::Tensor* tensor : tensors) {
    TORCH_CHECK(tensor->is_cpu() && tensor->scalar_type() == at::kFloat && tensor->is_contiguous() &&
                    tensor->numel() == count,
                "updates take dense float32 tensors of ", count, " elements on the CPU, found ", tensor->sizes(), " ",
                tensor->scalar_type(), " on ", tensor->device());
  }
}

}  // namespace
}  // namespace trainer

extern "C" {

char* trainer_adamw(const trainer::AdamWStep* step, const at::Tensor* weights, const at::Tensor* exp_avg,
                    const at::Tensor* exp_avg_sq, const at::Tensor* gradient) noexcept {
  using trainer::data;
  return trainer::guarded([&] {
    trainer::check({weights, exp_avg, exp_avg_sq, gradient});
    at::parallel_for(0, weights->numel(), trainer::GRAIN, [&](int64_t begin, int64_t end) {
      trainer::update_kernels().adamw(*step, data<float>(*weights) + begin, data<float>(*exp_avg) + begin,
                                      data<float>(*exp_avg_sq) + begin, data<float>(*gradient) + begin, end - begin);
    });
  });
}

char* trainer_moving_average(float decay, float share, const at::Tensor* average, const at::Tensor* weights) noexcept {
  using trainer::data;
  return trainer::guarded([&] {
    trainer::check({average, weights});
    at::parallel_for(0, weights->numel(), trainer::GRAIN, [&](int64_t begin, int64_t end) {
      trainer::update_kernels().moving_average(decay, share, data<float>(*average) + begin,
                                               data<float>(*weights) + begin, end - begin);
    });
  });
}
}
