// The fused operators as autograd functions, and the C interface that kernels.rs calls.
// Owns what is saved for the backward pass, contiguity and the layouts of packed weights; leaves arithmetic to
// kernels.cpp and blocks.cpp. No exception leaves this file: functions return an error's text or null.

#include "blocks.h"
#include "kernels.h"
#include "memory.h"
#include "operators.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>

namespace trainer {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// Elements below which a thread is not worth waking.
constexpr int64_t GRAIN = 16384;

void check_row_kernels_take(const Tensor& tensor) {
  TORCH_CHECK(tensor.scalar_type() == at::kBFloat16 && tensor.is_cpu(),
              "fused operators take bfloat16 on the CPU, not ", tensor.scalar_type(), " on ", tensor.device());
}

template <typename Body>
void over_rows(int64_t rows, int64_t columns, const Body& body) {
  at::parallel_for(0, rows, std::max<int64_t>(1, GRAIN / std::max<int64_t>(columns, 1)), body);
}

struct Normed {
  Tensor y, rstd;
};

Normed residual_norm(const Tensor& x, const Tensor& delta, double eps) {
  const int64_t columns = x.size(-1), rows = x.numel() / columns;
  Normed normed{at::empty_like(x), at::empty({rows}, x.options().dtype(at::kFloat))};
  over_rows(rows, columns, [&](int64_t begin, int64_t end) {
    const int64_t at = begin * columns;
    row_kernels().residual_norm(data<bf16>(x) + at, data<bf16>(delta) + at, data<bf16>(normed.y) + at,
                                data<float>(normed.rstd) + begin, end - begin, columns, static_cast<float>(eps));
  });
  return normed;
}

struct ResidualRmsNorm : Function<ResidualRmsNorm> {
  static Variable forward(AutogradContext* context, const Variable& x, const Variable& delta, double eps) {
    Normed normed = residual_norm(x, delta, eps);
    context->save_for_backward({normed.y, normed.rstd});
    return normed.y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &y = saved[0], &rstd = saved[1];
    const Tensor dy = gradients[0].contiguous(), dx = at::empty_like(y);
    const int64_t columns = y.size(-1), rows = y.numel() / columns;
    over_rows(rows, columns, [&](int64_t begin, int64_t end) {
      const int64_t at = begin * columns;
      row_kernels().residual_norm_backward(data<bf16>(dy) + at, data<bf16>(y) + at, data<float>(rstd) + begin,
                                           data<bf16>(dx) + at, end - begin, columns);
    });
    return {dx, dx, Variable()};
  }
};

Tensor silu_mul(const Tensor& gate_up) {
  const int64_t columns = gate_up.size(-1) / 2, rows = gate_up.numel() / (2 * columns);
  auto size = gate_up.sizes().vec();
  size.back() = columns;
  Tensor out = at::empty(size, gate_up.options());
  over_rows(rows, columns, [&](int64_t begin, int64_t end) {
    row_kernels().silu_mul(data<bf16>(gate_up) + begin * 2 * columns, data<bf16>(out) + begin * columns, end - begin,
                           columns);
  });
  return out;
}

struct SiluMul : Function<SiluMul> {
  static Variable forward(AutogradContext* context, const Variable& gate_up) {
    context->save_for_backward({gate_up});
    return silu_mul(gate_up);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const Tensor gate_up = context->get_saved_variables()[0];
    const Tensor dout = gradients[0].contiguous(), dgate_up = at::empty_like(gate_up);
    const int64_t columns = gate_up.size(-1) / 2, rows = gate_up.numel() / (2 * columns);
    over_rows(rows, columns, [&](int64_t begin, int64_t end) {
      const int64_t at = begin * 2 * columns;
      row_kernels().silu_mul_backward(data<bf16>(dout) + begin * columns, data<bf16>(gate_up) + at,
                                      data<bf16>(dgate_up) + at, end - begin, columns);
    });
    return {dgate_up};
  }
};

void check_mlp(const Tensor& x, int64_t width, const Tensor& gate_up, const Tensor& down) {
  TORCH_CHECK(x.scalar_type() == at::kBFloat16 && x.is_cpu(), "fused products take bfloat16 on the CPU");
  const int64_t inner = down.size(1);
  TORCH_CHECK(gate_up.size(0) == 2 * inner && gate_up.size(1) == width && down.size(0) == width,
              "a gated MLP of width ", width, " wants weights [2 inner, ", width, "] and [", width,
              ", inner], found ", gate_up.sizes(), " and ", down.sizes());
  TORCH_CHECK(inner % GATES == 0, "fused products want a multiple of ", GATES, " gates, found ", inner);
  TORCH_CHECK(x.size(-1) % CHANNELS == 0, "fused products want a multiple of ", CHANNELS, " columns, found ",
              x.sizes());
}

// Of a weight packed over channels: two layouts, one behind the other, of as many values as the weight has.
ChannelWeights channel_weights(const Tensor& gate_up, const Tensor& down, const Tensor& packed_gate_up,
                               const Tensor& packed_down) {
  const auto *gate_up_at = data<uint32_t>(packed_gate_up), *down_at = data<uint32_t>(packed_down);
  return {gate_up_at, gate_up_at + gate_up.numel() / 2, down_at, down_at + down.numel() / 2};
}

// Of a weight packed over tokens: itself and its transpose, rows padded to an even length.
TokenWeights token_weights(const Tensor& gate_up, const Tensor& down, const Tensor& packed_gate_up,
                           const Tensor& packed_down) {
  const auto second = [](const Tensor& weight) { return weight.size(0) * even(weight.size(1)); };
  const bf16 *gate_up_at = data<bf16>(packed_gate_up), *down_at = data<bf16>(packed_down);
  return {gate_up_at, gate_up_at + second(gate_up), down_at, down_at + second(down)};
}

MlpShape mlp_shape(const Tensor& x, const Tensor& down) {
  const int64_t width = x.size(-1);
  return {x.numel() / width, width, down.size(1)};
}

MixingShape mixing_shape(const Tensor& x, const Tensor& down) {
  return {x.size(0), x.size(1), x.size(2), down.size(1)};
}

// The MLP alone, or with its residual norm where there is an `eps`.
struct SwiGlu : Function<SwiGlu> {
  static Variable forward(AutogradContext* context, const Variable& x, const Variable& gate_up, const Variable& down,
                          const Tensor& packed_gate_up, const Tensor& packed_down, std::optional<double> eps) {
    const MlpShape shape = mlp_shape(x, down);
    Tensor out = at::empty_like(x), kept = at::empty({shape.rows, 2 * shape.inner}, x.options());
    Tensor rstd = eps ? at::empty({shape.rows}, x.options().dtype(at::kFloat)) : Tensor();
    mlp_forward(shape, data<bf16>(x), channel_weights(gate_up, down, packed_gate_up, packed_down),
                static_cast<float>(eps.value_or(0)), data<bf16>(out), eps ? data<float>(rstd) : nullptr,
                data<bf16>(kept));
    context->save_for_backward({x, kept, gate_up, down, packed_gate_up, packed_down, eps ? out : Tensor(), rstd});
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &kept = saved[1], &gate_up = saved[2], &down = saved[3], &y = saved[6],
                 &rstd = saved[7];
    const Tensor dout = gradients[0].contiguous(), dx = at::empty_like(x);
    const WeightGradient dgate_up(gate_up), ddown(down);
    std::optional<ResidualNorm> norm;
    if (rstd.defined()) norm = ResidualNorm{data<bf16>(y), data<float>(rstd)};
    mlp_backward(mlp_shape(x, down), data<bf16>(dout), data<bf16>(x), norm ? &*norm : nullptr, data<bf16>(kept),
                 channel_weights(gate_up, down, saved[4], saved[5]), data<bf16>(dx), dgate_up.values(),
                 ddown.values());
    return {dx, dgate_up.remainder(), ddown.remainder(), Variable(), Variable(), Variable()};
  }
};

struct TokenMixing : Function<TokenMixing> {
  static Variable forward(AutogradContext* context, const Variable& x, const Variable& gate_up, const Variable& down,
                          const Tensor& packed_gate_up, const Tensor& packed_down, double eps) {
    const MixingShape shape = mixing_shape(x, down);
    Tensor y = at::empty_like(x), rstd = at::empty({shape.batch, shape.width}, x.options().dtype(at::kFloat));
    Tensor kept = at::empty({shape.batch, 2 * shape.inner, shape.width}, x.options());
    mixing_forward(shape, data<bf16>(x), token_weights(gate_up, down, packed_gate_up, packed_down),
                   static_cast<float>(eps), data<bf16>(y), data<float>(rstd), data<bf16>(kept));
    context->save_for_backward({x, y, rstd, kept, gate_up, down, packed_gate_up, packed_down});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &y = saved[1], &rstd = saved[2], &kept = saved[3], &gate_up = saved[4],
                 &down = saved[5];
    const Tensor dy = gradients[0].contiguous(), dx = at::empty_like(x);
    const WeightGradient dgate_up(gate_up), ddown(down);
    mixing_backward(mixing_shape(x, down), data<bf16>(dy), data<bf16>(x), data<bf16>(y), data<float>(rstd),
                    data<bf16>(kept), token_weights(gate_up, down, saved[6], saved[7]), data<bf16>(dx),
                    dgate_up.values(), ddown.values());
    return {dx, dgate_up.remainder(), ddown.remainder(), Variable(), Variable(), Variable()};
  }
};

Tensor swiglu(const Tensor& input, const Tensor& gate_up, const Tensor& down, const Tensor& packed_gate_up,
              const Tensor& packed_down, std::optional<double> eps) {
  const Tensor x = input.contiguous();
  check_mlp(x, x.size(-1), gate_up, down);
  if (recording({&x, &gate_up, &down})) return SwiGlu::apply(x, gate_up, down, packed_gate_up, packed_down, eps);
  const MlpShape shape = mlp_shape(x, down);
  Tensor out = at::empty_like(x);
  Tensor rstd = eps ? at::empty({shape.rows}, x.options().dtype(at::kFloat)) : Tensor();
  mlp_forward(shape, data<bf16>(x), channel_weights(gate_up, down, packed_gate_up, packed_down),
              static_cast<float>(eps.value_or(0)), data<bf16>(out), eps ? data<float>(rstd) : nullptr, nullptr);
  return out;
}

Tensor token_mixing(const Tensor& input, const Tensor& gate_up, const Tensor& down, const Tensor& packed_gate_up,
                    const Tensor& packed_down, double eps) {
  const Tensor x = input.contiguous();
  TORCH_CHECK(x.dim() == 3, "token mixing takes [batch, tokens, hidden_size], found ", x.sizes());
  check_mlp(x, x.size(1), gate_up, down);
  if (recording({&x, &gate_up, &down})) return TokenMixing::apply(x, gate_up, down, packed_gate_up, packed_down, eps);
  const MixingShape shape = mixing_shape(x, down);
  Tensor y = at::empty_like(x), rstd = at::empty({shape.batch, shape.width}, x.options().dtype(at::kFloat));
  mixing_forward(shape, data<bf16>(x), token_weights(gate_up, down, packed_gate_up, packed_down),
                 static_cast<float>(eps), data<bf16>(y), data<float>(rstd), nullptr);
  return y;
}

Tensor residual_rms_norm(const Tensor& x, const Tensor& delta, double eps) {
  TORCH_CHECK(x.sizes() == delta.sizes() && x.scalar_type() == delta.scalar_type(),
              "a residual sum wants equal tensors, found ", x.sizes(), " ", x.scalar_type(), " and ", delta.sizes(),
              " ", delta.scalar_type());
  check_row_kernels_take(x);
  const Tensor left = x.contiguous(), right = delta.contiguous();
  if (recording({&left, &right})) return ResidualRmsNorm::apply(left, right, eps);
  return residual_norm(left, right, eps).y;
}

Tensor gated(const Tensor& input) {
  TORCH_CHECK(input.size(-1) % 2 == 0, "gate and up want an even last axis, found ", input.sizes());
  check_row_kernels_take(input);
  const Tensor gate_up = input.contiguous();
  return recording({&gate_up}) ? SiluMul::apply(gate_up) : silu_mul(gate_up);
}

// A weight [rows, columns] as second operand of products over its columns, then of those over its rows. `halves`: the
// rows are gates, then their ups, which come to lie side by side in the first layout.
Tensor pack_over_channels(const Tensor& master, bool halves) {
  const Tensor weight = master.detach().to(at::kBFloat16).contiguous();
  const int64_t rows = weight.size(0), columns = weight.size(1);
  TORCH_CHECK(rows % (2 * GATES_OF_PANEL) == 0 || !halves, "gates come in multiples of ", GATES_OF_PANEL, ", found ",
              weight.sizes());
  TORCH_CHECK(rows % CHANNELS == 0 && columns % CHANNELS == 0, "fused products want multiples of ", CHANNELS,
              ", found ", weight.sizes());
  const Tensor side_by_side =
      halves ? weight.view({2, -1, GATES_OF_PANEL, columns}).transpose(0, 1).contiguous() : weight;
  Tensor packed = at::empty({2 * rows * columns}, weight.options());
  auto* forward = data<uint32_t>(packed);
  gemm_kernels().pack_transposed(data<bf16>(side_by_side), rows, columns, columns, forward);
  gemm_kernels().pack(data<bf16>(weight), rows, columns, columns, forward + rows * columns / 2,
                      rows / 2 * PANEL_COLUMNS);
  return packed;
}

// A weight and its transpose as first operands.
Tensor pack_over_tokens(const Tensor& master) {
  const Tensor weight = master.detach().to(at::kBFloat16);
  const int64_t rows = weight.size(0), columns = weight.size(1), first = rows * even(columns);
  Tensor packed = at::zeros({first + columns * even(rows)}, weight.options());
  packed.narrow(0, 0, first).view({rows, even(columns)}).narrow(1, 0, columns).copy_(weight);
  packed.narrow(0, first, columns * even(rows)).view({columns, even(rows)}).narrow(1, 0, rows).copy_(weight.t());
  return packed;
}

}  // namespace
}  // namespace trainer

extern "C" {

using trainer::guarded;

int trainer_has_bf16_products() noexcept { return trainer::has_bf16_products() ? 1 : 0; }

void trainer_pool_tensor_memory() noexcept { trainer::pool_tensor_memory(); }

char* trainer_residual_rms_norm(const at::Tensor* x, const at::Tensor* delta, double eps, at::Tensor** out) noexcept {
  return guarded([&] { *out = new at::Tensor(trainer::residual_rms_norm(*x, *delta, eps)); });
}

char* trainer_silu_mul(const at::Tensor* gate_up, at::Tensor** out) noexcept {
  return guarded([&] { *out = new at::Tensor(trainer::gated(*gate_up)); });
}

char* trainer_pack_over_channels(const at::Tensor* weight, int halves, at::Tensor** out) noexcept {
  return guarded([&] { *out = new at::Tensor(trainer::pack_over_channels(*weight, halves != 0)); });
}

char* trainer_pack_over_tokens(const at::Tensor* weight, at::Tensor** out) noexcept {
  return guarded([&] { *out = new at::Tensor(trainer::pack_over_tokens(*weight)); });
}

char* trainer_swiglu(const at::Tensor* x, const at::Tensor* gate_up, const at::Tensor* down,
                     const at::Tensor* packed_gate_up, const at::Tensor* packed_down, at::Tensor** out) noexcept {
  return guarded([&] {
    *out = new at::Tensor(trainer::swiglu(*x, *gate_up, *down, *packed_gate_up, *packed_down, std::nullopt));
  });
}

char* trainer_channel_mixing(const at::Tensor* x, const at::Tensor* gate_up, const at::Tensor* down,
                             const at::Tensor* packed_gate_up, const at::Tensor* packed_down, double eps,
                             at::Tensor** out) noexcept {
  return guarded([&] {
    *out = new at::Tensor(trainer::swiglu(*x, *gate_up, *down, *packed_gate_up, *packed_down, eps));
  });
}

char* trainer_token_mixing(const at::Tensor* x, const at::Tensor* gate_up, const at::Tensor* down,
                           const at::Tensor* packed_gate_up, const at::Tensor* packed_down, double eps,
                           at::Tensor** out) noexcept {
  return guarded([&] {
    *out = new at::Tensor(trainer::token_mixing(*x, *gate_up, *down, *packed_gate_up, *packed_down, eps));
  });
}
}
