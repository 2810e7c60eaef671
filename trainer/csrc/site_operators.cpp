// The structured mixers as autograd functions over the live sites of a batch, and the C interface that kernels.rs calls.
// Owns the split of a batch among threads and what is saved for the backward pass; leaves arithmetic to
// site_kernels.cpp. Each thread sums gradients of weights over a fixed share of the boards, and the shares are added
// in order: the same number of threads gives the same bits.

#include "operators.h"
#include "site_kernels.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <functional>
#include <vector>

namespace trainer {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// Shares of a batch's boards, one for each thread.
struct Shares {
  int64_t boards, count;

  explicit Shares(int64_t boards)
      : boards(boards), count(std::max<int64_t>(1, std::min<int64_t>(boards, at::get_num_threads()))) {}

  int64_t begin(int64_t share) const { return boards * share / count; }

  // Calls `body(share, begin, end)` for every share.
  void each(const std::function<void(int64_t, int64_t, int64_t)>& body) const {
    at::parallel_for(0, count, 1, [&](int64_t first, int64_t last) {
      for (int64_t share = first; share < last; ++share) body(share, begin(share), begin(share + 1));
    });
  }
};

// A gradient that shares sum on their own: the first into the sum itself, the others beside it.
class SharedSum {
 public:
  SharedSum(float* sum, int64_t size, int64_t shares) : sum_(sum), size_(size), others_((shares - 1) * size, 0.0F) {}

  float* of(int64_t share) { return share == 0 ? sum_ : others_.data() + (share - 1) * size_; }

  void add_up() {
    for (size_t i = 0; i < others_.size(); ++i) sum_[i % size_] += others_[i];
  }

 private:
  float* sum_;
  int64_t size_;
  std::vector<float> others_;
};

float* scratch(int64_t floats) {
  thread_local std::vector<float> memory;
  if (static_cast<int64_t>(memory.size()) < floats) memory.resize(floats);
  return memory.data();
}

void check_sites(const Tensor& x, const Tensor& rows, int64_t width) {
  TORCH_CHECK(x.is_cpu() && x.scalar_type() == at::kFloat && x.dim() == 2 && x.is_contiguous(),
              "structured mixing takes contiguous float32 [sites, width] on the CPU, found ", x.sizes(), " ",
              x.scalar_type());
  TORCH_CHECK(x.size(1) == width && width % SITE_WIDTH == 0, "weights of width ", width, " do not fit ", x.sizes(),
              ", or the width is no multiple of ", SITE_WIDTH);
  TORCH_CHECK(rows.scalar_type() == at::kInt && data<int32_t>(rows)[rows.numel() - 1] == x.size(0),
              "the boards' ranges do not fit ", x.sizes());
}

struct UnitsBatch {
  const Tensor &links, &rows, &units;
  UnitsWeights weights;
  int64_t width, pool;

  UnitsBatch(const Tensor& input, const Tensor& output, const Tensor& input_t, const Tensor& output_t, const Tensor& links,
             const Tensor& rows, const Tensor& units)
      : links(links), rows(rows), units(units),
        weights{data<float>(input), data<float>(output), data<float>(input_t), data<float>(output_t)},
        width(input.size(1)), pool(input.size(0) / UNIT_PARTS) {}

  int64_t boards() const { return rows.numel() - 1; }
  int64_t first_site(int64_t board) const { return data<int32_t>(rows)[board]; }
  int64_t first_unit(int64_t board) const { return data<int32_t>(units)[board]; }
  int64_t unit_count() const { return first_unit(boards()); }

  UnitsShape shape(int64_t board) const {
    return {first_site(board + 1) - first_site(board), first_unit(board + 1) - first_unit(board), width, pool};
  }

  const int32_t* links_of(int64_t board) const { return data<int32_t>(links) + first_site(board) * UNIT_KINDS; }
};

struct UnitsForward {
  Tensor y, pooled, argmax, rstd;

  UnitsForward(const UnitsBatch& batch, const Tensor& x, double eps)
      : y(at::empty_like(x)), pooled(at::empty({batch.unit_count(), batch.pool}, x.options())),
        argmax(at::zeros({batch.unit_count(), batch.pool / 2}, x.options().dtype(at::kInt))),
        rstd(at::empty({x.size(0)}, x.options())) {
    const SiteKernels& kernels = site_kernels();
    Shares(batch.boards()).each([&](int64_t, int64_t begin, int64_t end) {
      for (int64_t board = begin; board < end; ++board) {
        const UnitsShape shape = batch.shape(board);
        const int64_t at = batch.first_site(board) * batch.width;
        kernels.units_forward(shape, data<float>(x) + at, batch.links_of(board), batch.weights, static_cast<float>(eps),
                              data<float>(y) + at, kept(batch, board), scratch(kernels.units_scratch(shape)));
      }
    });
  }

  UnitsKept kept(const UnitsBatch& batch, int64_t board) const { return kept_of(batch, board, pooled, argmax, rstd); }

  static UnitsKept kept_of(const UnitsBatch& batch, int64_t board, const Tensor& pooled, const Tensor& argmax,
                           const Tensor& rstd) {
    const int64_t unit = batch.first_unit(board);
    return {data<float>(pooled) + unit * batch.pool, data<int32_t>(argmax) + unit * (batch.pool / 2),
            data<float>(rstd) + batch.first_site(board)};
  }
};

struct UnitsMixing : Function<UnitsMixing> {
  static Variable forward(AutogradContext* context, const Variable& x, const Variable& input, const Variable& output,
                          const Tensor& input_t, const Tensor& output_t, const Tensor& links, const Tensor& rows,
                          const Tensor& units, double eps) {
    const UnitsForward result(UnitsBatch(input, output, input_t, output_t, links, rows, units), x, eps);
    context->save_for_backward({x, result.y, result.pooled, result.argmax, result.rstd, input, output, input_t, output_t,
                                links, rows, units});
    return result.y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &y = saved[1], &input = saved[5], &output = saved[6];
    const UnitsBatch batch(input, output, saved[7], saved[8], saved[9], saved[10], saved[11]);
    const Tensor dy = gradients[0].contiguous(), dx = at::empty_like(x);
    const WeightGradient dinput(input), doutput(output);
    const SiteKernels& kernels = site_kernels();
    const Shares shares(batch.boards());
    SharedSum input_sum(dinput.values(), input.numel(), shares.count);
    SharedSum output_sum(doutput.values(), output.numel(), shares.count);
    shares.each([&](int64_t share, int64_t begin, int64_t end) {
      for (int64_t board = begin; board < end; ++board) {
        const UnitsShape shape = batch.shape(board);
        const int64_t at = batch.first_site(board) * batch.width;
        kernels.units_backward(shape, data<float>(dy) + at, data<float>(x) + at, data<float>(y) + at,
                               batch.links_of(board), batch.weights,
                               UnitsForward::kept_of(batch, board, saved[2], saved[3], saved[4]), data<float>(dx) + at,
                               input_sum.of(share), output_sum.of(share), scratch(kernels.units_scratch(shape)));
      }
    });
    input_sum.add_up();
    output_sum.add_up();
    variable_list result(9);
    result[0] = dx;
    result[1] = dinput.remainder();
    result[2] = doutput.remainder();
    return result;
  }
};

// The gated MLP of a block; with a stencil it is local mixing.
struct MlpBatch {
  const Tensor &links, &rows;
  Tensor stencil_rows;
  SiteMlpWeights weights;
  int64_t width, inner;

  MlpBatch(const Tensor& gate_up, const Tensor& down, const Tensor& gate_up_t, const Tensor& down_t, const Tensor& stencil,
           const Tensor& links, const Tensor& rows)
      : links(links), rows(rows), width(gate_up.size(1)), inner(down.size(1)) {
    // [inner, 3, 3] as [9, inner].
    const bool local = stencil.numel() > 0;
    if (local) stencil_rows = stencil.detach().view({inner, STENCIL}).t().contiguous();
    weights = {data<float>(gate_up), data<float>(down), data<float>(gate_up_t), data<float>(down_t),
               local ? data<float>(stencil_rows) : nullptr};
  }

  int64_t boards() const { return rows.numel() - 1; }
  int64_t first_site(int64_t board) const { return data<int32_t>(rows)[board]; }
  MlpSiteShape shape(int64_t board) const { return {first_site(board + 1) - first_site(board), width, inner}; }

  const int32_t* links_of(int64_t board) const {
    return weights.stencil == nullptr ? nullptr : data<int32_t>(links) + first_site(board) * STENCIL;
  }

  void forward(const Tensor& x, double eps, const Tensor& y, const Tensor& rstd, const Tensor& kept) const {
    const SiteKernels& kernels = site_kernels();
    Shares(boards()).each([&](int64_t, int64_t begin, int64_t end) {
      for (int64_t board = begin; board < end; ++board) {
        const int64_t site = first_site(board);
        kernels.mlp_forward(shape(board), data<float>(x) + site * width, links_of(board), weights, static_cast<float>(eps),
                            data<float>(y) + site * width, data<float>(rstd) + site,
                            kept.defined() ? data<float>(kept) + site * 2 * inner : nullptr,
                            scratch(kernels.mlp_scratch(shape(board))));
      }
    });
  }
};

struct SiteMlp : Function<SiteMlp> {
  static Variable forward(AutogradContext* context, const Variable& x, const Variable& gate_up, const Variable& down,
                          const Variable& stencil, const Tensor& gate_up_t, const Tensor& down_t, const Tensor& links,
                          const Tensor& rows, double eps) {
    const MlpBatch batch(gate_up, down, gate_up_t, down_t, stencil, links, rows);
    const Tensor y = at::empty_like(x), rstd = at::empty({x.size(0)}, x.options()),
                 kept = at::empty({x.size(0), 2 * batch.inner}, x.options());
    batch.forward(x, eps, y, rstd, kept);
    context->save_for_backward({x, y, rstd, kept, gate_up, down, stencil, gate_up_t, down_t, links, rows});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &y = saved[1], &rstd = saved[2], &kept = saved[3], &gate_up = saved[4], &down = saved[5],
                 &stencil = saved[6];
    const MlpBatch batch(gate_up, down, saved[7], saved[8], stencil, saved[9], saved[10]);
    const Tensor dy = gradients[0].contiguous(), dx = at::empty_like(x);
    const WeightGradient dgate_up(gate_up), ddown(down);
    const SiteKernels& kernels = site_kernels();
    const Shares shares(batch.boards());
    const bool local = stencil.numel() > 0;
    const Tensor dstencil = at::zeros({local ? STENCIL : 0, batch.inner}, x.options());
    SharedSum gate_up_sum(dgate_up.values(), gate_up.numel(), shares.count);
    SharedSum down_sum(ddown.values(), down.numel(), shares.count);
    SharedSum stencil_sum(data<float>(dstencil), std::max<int64_t>(1, dstencil.numel()), shares.count);
    shares.each([&](int64_t share, int64_t begin, int64_t end) {
      for (int64_t board = begin; board < end; ++board) {
        const int64_t site = batch.first_site(board), at = site * batch.width;
        kernels.mlp_backward(batch.shape(board), data<float>(dy) + at, data<float>(x) + at, data<float>(y) + at,
                             batch.links_of(board), batch.weights, data<float>(rstd) + site,
                             data<float>(kept) + site * 2 * batch.inner, data<float>(dx) + at,
                             {gate_up_sum.of(share), down_sum.of(share), stencil_sum.of(share)},
                             scratch(kernels.mlp_scratch(batch.shape(board))));
      }
    });
    gate_up_sum.add_up();
    down_sum.add_up();
    variable_list result(9);
    result[0] = dx;
    result[1] = dgate_up.remainder();
    result[2] = ddown.remainder();
    if (local) {
      stencil_sum.add_up();
      result[3] = dstencil.t().contiguous().view(stencil.sizes());
    }
    return result;
  }
};

Tensor units_mixing(const Tensor& input_x, const Tensor& input, const Tensor& output, const Tensor& input_t,
                    const Tensor& output_t, const Tensor& links, const Tensor& rows, const Tensor& units, double eps) {
  const Tensor x = input_x.contiguous();
  check_sites(x, rows, input.size(1));
  TORCH_CHECK(input.size(0) % (UNIT_PARTS * SITE_WIDTH) == 0, "pools are multiples of ", SITE_WIDTH, ", found weights ",
              input.sizes());
  if (recording({&x, &input, &output}))
    return UnitsMixing::apply(x, input, output, input_t, output_t, links, rows, units, eps);
  return UnitsForward(UnitsBatch(input, output, input_t, output_t, links, rows, units), x, eps).y;
}

Tensor site_mlp(const Tensor& input_x, const Tensor& gate_up, const Tensor& down, const Tensor& gate_up_t,
                const Tensor& down_t, const Tensor& stencil, const Tensor& links, const Tensor& rows, double eps) {
  const Tensor x = input_x.contiguous();
  check_sites(x, rows, gate_up.size(1));
  TORCH_CHECK(down.size(1) % SITE_WIDTH == 0, "gates are multiples of ", SITE_WIDTH, ", found weights ", down.sizes());
  if (recording({&x, &gate_up, &down}))
    return SiteMlp::apply(x, gate_up, down, stencil, gate_up_t, down_t, links, rows, eps);
  const Tensor y = at::empty_like(x), rstd = at::empty({x.size(0)}, x.options());
  MlpBatch(gate_up, down, gate_up_t, down_t, stencil, links, rows).forward(x, eps, y, rstd, Tensor());
  return y;
}

// Autograd takes no undefined tensors.
Tensor or_empty(const Tensor* tensor) { return tensor == nullptr ? at::empty({0}) : *tensor; }

}  // namespace
}  // namespace trainer

extern "C" {

using trainer::guarded;

char* trainer_units_mixing(const at::Tensor* x, const at::Tensor* input, const at::Tensor* output,
                           const at::Tensor* input_t, const at::Tensor* output_t, const at::Tensor* links,
                           const at::Tensor* rows, const at::Tensor* units, double eps, at::Tensor** out) noexcept {
  return guarded([&] {
    *out =
        new at::Tensor(trainer::units_mixing(*x, *input, *output, *input_t, *output_t, *links, *rows, *units, eps));
  });
}

char* trainer_site_mlp(const at::Tensor* x, const at::Tensor* gate_up, const at::Tensor* down,
                       const at::Tensor* gate_up_t, const at::Tensor* down_t, const at::Tensor* stencil,
                       const at::Tensor* links, const at::Tensor* rows, double eps, at::Tensor** out) noexcept {
  return guarded([&] {
    *out = new at::Tensor(trainer::site_mlp(*x, *gate_up, *down, *gate_up_t, *down_t, trainer::or_empty(stencil),
                                            *links, *rows, eps));
  });
}
}
