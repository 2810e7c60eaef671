// Chooses the kernels for the processor that the program runs on.

#include "attention_kernels.h"
#include "blocks.h"
#include "site_kernels.h"
#include "updates.h"

#include <stdexcept>

namespace trainer {

extern const RowKernels kernels_baseline;
extern const UpdateKernels updates_baseline;
extern const SiteKernels sites_baseline;

#if defined(__x86_64__)
extern const RowKernels kernels_avx2;
extern const RowKernels kernels_avx512;
extern const UpdateKernels updates_avx2;
extern const UpdateKernels updates_avx512;
extern const SiteKernels sites_avx2;
extern const SiteKernels sites_avx512;
extern const GemmKernels gemm_kernels_avx512_bf16;
extern const MlpKernels mlp_kernels_avx512_bf16;
extern const MixingKernels mixing_kernels_avx512_bf16;
extern const AttentionKernels attention_kernels_avx512_bf16;

namespace {
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
}
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
}  // namespace

const RowKernels& row_kernels() {
  static const RowKernels& chosen = has_avx512() ? kernels_avx512 : has_avx2() ? kernels_avx2 : kernels_baseline;
  return chosen;
}

const UpdateKernels& update_kernels() {
  static const UpdateKernels& chosen = has_avx512() ? updates_avx512 : has_avx2() ? updates_avx2 : updates_baseline;
  return chosen;
}

const SiteKernels& site_kernels() {
  static const SiteKernels& chosen = has_avx512() ? sites_avx512 : has_avx2() ? sites_avx2 : sites_baseline;
  return chosen;
}

bool has_bf16_products() { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }

namespace {
template <typename Table>
const Table& if_supported(const Table& table) {
  if (!has_bf16_products()) throw std::runtime_error("this processor has no bfloat16 products");
  return table;
}
}  // namespace

const GemmKernels& gemm_kernels() { return if_supported(gemm_kernels_avx512_bf16); }
const MlpKernels& mlp_kernels() { return if_supported(mlp_kernels_avx512_bf16); }
const MixingKernels& mixing_kernels() { return if_supported(mixing_kernels_avx512_bf16); }
const AttentionKernels& attention_kernels() { return if_supported(attention_kernels_avx512_bf16); }
#else
const RowKernels& row_kernels() { return kernels_baseline; }

const UpdateKernels& update_kernels() { return updates_baseline; }

const SiteKernels& site_kernels() { return sites_baseline; }

bool has_bf16_products() { return false; }

const GemmKernels& gemm_kernels() { throw std::runtime_error("this processor has no bfloat16 products"); }
const MlpKernels& mlp_kernels() { throw std::runtime_error("this processor has no bfloat16 products"); }
const MixingKernels& mixing_kernels() { throw std::runtime_error("this processor has no bfloat16 products"); }
const AttentionKernels& attention_kernels() { throw std::runtime_error("this processor has no bfloat16 products"); }
#endif

}  // namespace trainer
