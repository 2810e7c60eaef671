// What the operators' files share: views of tensors, when gradients are recorded and where those of weights are summed,
// errors as text.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <initializer_list>

namespace trainer {

template <typename T>
T* data(const at::Tensor& tensor) {
  return static_cast<T*>(tensor.data_ptr());
}

inline bool recording(std::initializer_list<const at::Tensor*> inputs) {
  return at::GradMode::is_enabled() &&
         std::any_of(inputs.begin(), inputs.end(), [](const at::Tensor* input) { return input->requires_grad(); });
}

// Where the gradient of a weight is summed: its own where autograd would add to that in the end, which saves a tensor,
// and passes over it, for every use of the weight.
class WeightGradient {
 public:
  explicit WeightGradient(const at::Tensor& weight) : direct_(weight.requires_grad() && weight.is_leaf()) {
    if (direct_) sum_ = weight.grad();
    if (!sum_.defined()) {
      const at::NoGradGuard guard;
      sum_ = at::zeros(weight.sizes(), weight.options().requires_grad(false));
      if (direct_) weight.mutable_grad() = sum_;
    }
    TORCH_CHECK(sum_.is_contiguous() && sum_.scalar_type() == at::kFloat, "gradients of weights are dense float32");
  }

  float* values() const { return data<float>(sum_); }
  // What is left to autograd.
  at::Tensor remainder() const { return direct_ ? at::Tensor() : sum_; }

 private:
  bool direct_;
  at::Tensor sum_;
};

// Calls `body`; an exception's text or null. The text is the caller's to free.
template <typename Body>
char* guarded(const Body& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}

}  // namespace trainer
