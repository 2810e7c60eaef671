// Fused attention as an autograd function, and the C interface that kernels.rs calls.
// Owns what is saved for the backward pass, contiguity and the checks of shapes; leaves arithmetic to attention.cpp.

#include "attention.h"
#include "blocks.h"
#include "operators.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

namespace trainer {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// What attention is computed from besides its input. Undefined angles: none.
struct Parameters {
  Tensor qkv, output, packed_qkv, packed_output, cos, sin;
  int64_t heads;
  double eps;

  AttentionShape shape(const Tensor& x) const {
    return {x.size(0), x.size(1), x.size(2), heads, output.size(1) / heads};
  }
  AttentionWeights weights() const {
    const auto *qkv_at = data<uint32_t>(packed_qkv), *output_at = data<uint32_t>(packed_output);
    return {qkv_at, qkv_at + qkv.numel() / 2, output_at, output_at + output.numel() / 2};
  }
  Angles angles() const {
    return cos.defined() ? Angles{data<float>(cos), data<float>(sin)} : Angles{nullptr, nullptr};
  }
};

void check_angles(const Tensor& angles, const AttentionShape& shape) {
  TORCH_CHECK(angles.scalar_type() == at::kFloat && angles.is_contiguous() && angles.dim() == 2 &&
                  angles.size(0) == shape.tokens && angles.size(1) == shape.head_dim / 2,
              "rotary angles of ", shape.tokens, " tokens and heads of ", shape.head_dim, " are float32 [",
              shape.tokens, ", ", shape.head_dim / 2, "], found ", angles.scalar_type(), " ", angles.sizes());
}

void check(const Tensor& x, const Parameters& parameters) {
  TORCH_CHECK(x.scalar_type() == at::kBFloat16 && x.is_cpu() && x.dim() == 3,
              "fused attention takes bfloat16 [batch, tokens, hidden_size] on the CPU, found ", x.scalar_type(), " ",
              x.sizes());
  const Tensor &qkv = parameters.qkv, &output = parameters.output;
  const int64_t width = x.size(2), inner = output.size(1);
  TORCH_CHECK(qkv.size(0) == 3 * inner && qkv.size(1) == width && output.size(0) == width,
              "attention over ", width, " channels wants weights [3 inner, ", width, "] and [", width,
              ", inner], found ", qkv.sizes(), " and ", output.sizes());
  const AttentionShape shape = parameters.shape(x);
  TORCH_CHECK(takes_heads(shape.head_dim) && shape.inner() == inner && width % CHANNELS == 0 && x.numel() > 0,
              "fused attention wants heads and channels in multiples of ", CHANNELS, ", found ", shape.heads, " heads over ", inner, " columns and ", width, " channels");
  TORCH_CHECK(parameters.packed_qkv.numel() == 2 * qkv.numel() && parameters.packed_output.numel() == 2 * output.numel(),
              "fused attention wants packed weights");
  TORCH_CHECK(parameters.cos.defined() == parameters.sin.defined(), "rotary angles are a cosine and a sine");
  if (!parameters.cos.defined()) return;
  check_angles(parameters.cos, shape);
  check_angles(parameters.sin, shape);
}

// The result and what backward needs besides the input.
struct Computed {
  Tensor y, rstd, qkv, mixed, logsum;

  Attended attended() const { return {data<bf16>(qkv), data<bf16>(mixed), data<float>(logsum)}; }
};

Computed compute(const Tensor& x, const Parameters& parameters) {
  const AttentionShape shape = parameters.shape(x);
  const auto narrow = x.options().requires_grad(false), wide = narrow.dtype(at::kFloat);
  Computed result{at::empty_like(x), at::empty({shape.rows()}, wide), at::empty({shape.rows(), 3 * shape.inner()}, narrow),
                  at::empty({shape.rows(), shape.inner()}, narrow),
                  at::empty({shape.batch, shape.heads, shape.tokens}, wide)};
  attention_forward(shape, data<bf16>(x), parameters.weights(), parameters.angles(), static_cast<float>(parameters.eps),
                    data<bf16>(result.y), data<float>(result.rstd), result.attended());
  return result;
}

struct ResidualAttention : Function<ResidualAttention> {
  static Variable forward(AutogradContext* context, const Variable& x, const Variable& qkv, const Variable& output,
                          const Parameters& parameters) {
    const Computed computed = compute(x, parameters);
    context->saved_data["heads"] = parameters.heads;
    context->saved_data["eps"] = parameters.eps;
    context->save_for_backward({x, computed.y, computed.rstd, computed.qkv, computed.mixed, computed.logsum, qkv, output,
                                parameters.packed_qkv, parameters.packed_output, parameters.cos, parameters.sin});
    return computed.y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor& x = saved[0];
    const Computed computed{saved[1], saved[2], saved[3], saved[4], saved[5]};
    const Parameters parameters{saved[6],  saved[7],
                                saved[8],  saved[9],
                                saved[10], saved[11],
                                context->saved_data["heads"].toInt(), context->saved_data["eps"].toDouble()};
    const Tensor dy = gradients[0].contiguous(), dx = at::empty_like(x);
    const WeightGradient dqkv(parameters.qkv), doutput(parameters.output);
    attention_backward(parameters.shape(x), data<bf16>(dy), data<bf16>(x), data<bf16>(computed.y),
                       data<float>(computed.rstd), computed.attended(), parameters.weights(), parameters.angles(),
                       data<bf16>(dx), dqkv.values(), doutput.values());
    return {dx, dqkv.remainder(), doutput.remainder(), Variable()};
  }
};

Tensor residual_attention(const Tensor& input, const Parameters& parameters) {
  const Tensor x = input.contiguous();
  check(x, parameters);
  if (recording({&x, &parameters.qkv, &parameters.output})) {
    return ResidualAttention::apply(x, parameters.qkv, parameters.output, parameters);
  }
  return compute(x, parameters).y;
}

}  // namespace
}  // namespace trainer

extern "C" {

using trainer::guarded;

// Null `cos` and `sin`: positions are not encoded by rotation.
char* trainer_residual_attention(const at::Tensor* x, const at::Tensor* qkv, const at::Tensor* output,
                                 const at::Tensor* packed_qkv, const at::Tensor* packed_output, const at::Tensor* cos,
                                 const at::Tensor* sin, int64_t heads, double eps, at::Tensor** out) noexcept {
  return guarded([&] {
    const at::Tensor none;
    *out = new at::Tensor(trainer::residual_attention(*x, {*qkv, *output, *packed_qkv, *packed_output, cos ? *cos : none,
                                                           sin ? *sin : none, heads, eps}));
  });
}
}
