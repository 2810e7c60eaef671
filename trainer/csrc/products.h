// Products of bfloat16 matrices with float32 results, and the memory that they work in.
// Owns the call of oneDNN's micro kernels (through libtorch); leaves the order of products to whoever fuses them.
#pragma once

#include "kernels.h"

#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>

namespace trainer {

// Columns of a second operand that lie together.
constexpr int64_t PANEL = 256;

// Uninitialised memory on a cache line's border, from where tensors take theirs.
template <typename T>
class Buffer {
 public:
  explicit Buffer(int64_t count) : memory_(c10::GetCPUAllocator()->allocate(static_cast<size_t>(count) * sizeof(T))) {}
  operator T*() const { return static_cast<T*>(memory_.get()); }

 private:
  c10::DataPtr memory_;
};

inline const bf16* as_rows(const uint32_t* pairs) { return reinterpret_cast<const bf16*>(pairs); }

// c [m, n] (+)= a [m, k] times b, whose rows lie in pairs with `ldb` columns.
inline void product(int64_t m, int64_t n, int64_t k, const bf16* a, int64_t lda, const bf16* b, int64_t ldb, float* c,
                    int64_t ldc, bool add = false) {
  at::native::cpublas::brgemm(m, n, k, lda, ldb, ldc, add, reinterpret_cast<const c10::BFloat16*>(a),
                              reinterpret_cast<const c10::BFloat16*>(b), c, true);
}

// The same for b in panels of PANEL columns, one behind the other: rows that lie a power of two apart would fall into
// the same lines of the cache.
inline void product_of_blocks(int64_t m, int64_t n, int64_t k, const bf16* a, int64_t lda, const bf16* b, float* c,
                              int64_t ldc) {
  for (int64_t first = 0; first < n; first += PANEL) {
    const int64_t columns = std::min(PANEL, n - first);
    product(m, columns, k, a, lda, b + first * k, columns, c + first, ldc);
  }
}

// Runs `body(index)` for every index below `count`, some at a time.
template <typename Body>
void for_each_parallel(int64_t count, const Body& body) {
  at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) body(index);
    at::native::cpublas::brgemm_release(true);
  });
}

}  // namespace trainer
