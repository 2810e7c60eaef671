// Memory of tensors on the CPU: kept for reuse in place of being returned to the system, on huge pages where the
// system gives them. A training step asks for the same sizes every time, so that after the first one no page is
// faulted in, zeroed or looked up again.

#include "memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <vector>

namespace trainer {
namespace {

// In front of every block, on a cache line of its own.
struct alignas(64) Header {
  // Bytes of the block with its header; 0: not from the pool.
  size_t bytes;
};

constexpr size_t HUGE_PAGE = size_t{2} << 20;
// Smaller blocks are left to malloc, which keeps them anyway.
constexpr size_t SMALLEST_POOLED = size_t{64} << 10;
constexpr size_t REGION = size_t{64} << 20;

// Up to the next eighth of a power of two: at most an eighth is wasted, and few sizes differ.
size_t size_class(size_t bytes) {
  const size_t step = std::bit_floor(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

class Pool {
 public:
  Header* take(size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<Header*>& free = free_[bytes];
    if (!free.empty()) {
      Header* header = free.back();
      free.pop_back();
      return header;
    }
    if (static_cast<size_t>(end_ - next_) < bytes) map_region(std::max(bytes, REGION));
    Header* header = new (next_) Header{bytes};
    next_ += bytes;
    return header;
  }

  void give_back(Header* header) {
    const std::lock_guard<std::mutex> lock(mutex_);
    free_[header->bytes].push_back(header);
  }

 private:
  void map_region(size_t bytes) {
    const size_t size = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE + HUGE_PAGE;
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
    madvise(memory, size, MADV_HUGEPAGE);
#endif
    char* start = static_cast<char*>(memory);
    next_ = start + (HUGE_PAGE - reinterpret_cast<uintptr_t>(start) % HUGE_PAGE) % HUGE_PAGE;
    end_ = start + size;
  }

  std::mutex mutex_;
  std::map<size_t, std::vector<Header*>> free_;
  char* next_ = nullptr;
  char* end_ = nullptr;
};

Pool& pool() {
  // Never destroyed: tensors may outlive every static.
  static Pool& pool = *new Pool;
  return pool;
}

void release(void* data) {
  if (data == nullptr) return;
  Header* header = static_cast<Header*>(data) - 1;
  if (header->bytes == 0) {
    std::free(header);
  } else {
    pool().give_back(header);
  }
}

class PoolAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const c10::Device cpu(c10::DeviceType::CPU);
    if (bytes == 0) return {nullptr, nullptr, &release, cpu};
    const size_t total = bytes + sizeof(Header);
    Header* header = nullptr;
    if (total >= SMALLEST_POOLED) {
      header = pool().take(size_class(total));
    } else {
      void* memory = nullptr;
      if (posix_memalign(&memory, alignof(Header), total) != 0) throw std::bad_alloc();
      header = new (memory) Header{0};
    }
    return {header + 1, header + 1, &release, cpu};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }
};

}  // namespace

void pool_tensor_memory() {
  static PoolAllocator& allocator = *new PoolAllocator;
  c10::SetAllocator(c10::DeviceType::CPU, &allocator);
}

}  // namespace trainer
