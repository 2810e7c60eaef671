// Threads and the memory that they work in, as libtorch has them; leaves what is computed to whoever fuses it.
#pragma once

#include <ATen/Parallel.h>
#include <c10/core/CPUAllocator.h>

#include <cstdint>

namespace trainer {

// Uninitialised memory on a cache line's border, from where tensors take theirs.
template <typename T>
class Buffer {
 public:
  explicit Buffer(int64_t count) : memory_(c10::GetCPUAllocator()->allocate(static_cast<size_t>(count) * sizeof(T))) {}
  operator T*() const { return static_cast<T*>(memory_.get()); }

 private:
  c10::DataPtr memory_;
};

// Runs `body(index)` for every index below `count`, some at a time.
template <typename Body>
void for_each_parallel(int64_t count, const Body& body) {
  at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) body(index);
  });
}

}  // namespace trainer
