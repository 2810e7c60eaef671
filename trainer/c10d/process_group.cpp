// libtorch's c10d for Rust: the store where processes find each other, and the collectives between them. Owns the C
// interface; `src/distributed` owns its use. No exception leaves a function: they return a text from `strdup`, or null.

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#ifdef TRAINER_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using Milliseconds = std::chrono::milliseconds;
using Tensors = std::vector<at::Tensor>;

struct Store {
  c10::intrusive_ptr<c10d::TCPStore> tcp;
};

// Backends are held by their base class alone: the stand-ins for gloo's headers know no sizes.
struct Group {
  c10::intrusive_ptr<c10d::Backend> cpu;
  c10::intrusive_ptr<c10d::Backend> cuda;
  Milliseconds timeout;

  c10d::Backend& of(const at::Tensor& tensor) const {
    // Collectives read the storage front to back: the sum of strided tensors would be silently wrong.
    TORCH_CHECK(tensor.is_contiguous(), "a collective needs a contiguous tensor");
    if (!tensor.is_cuda()) return *cpu;
    TORCH_CHECK(cuda, "a collective of CUDA tensors needs NCCL; build with the feature `cuda`");
    return *cuda;
  }
};

template <typename Body>
char* guarded(Body&& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const c10::Error& error) {
    return strdup(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an exception of unknown type");
  }
}

const Group& group_of(const void* group) { return *static_cast<const Group*>(group); }
c10d::TCPStore& store_of(const void* store) { return *static_cast<const Store*>(store)->tcp; }
at::Tensor& tensor_of(void* tensor) { return *static_cast<at::Tensor*>(tensor); }
std::vector<uint8_t> bytes_of(const char* data, size_t length) { return {data, data + length}; }

void copy_out(const std::vector<uint8_t>& value, void** data, size_t* length) {
  *data = std::malloc(value.size() + 1);
  if (*data == nullptr) throw std::bad_alloc();
  std::memcpy(*data, value.data(), value.size());
  *length = value.size();
}

}  // namespace

extern "C" {

char* trainer_store_open(const char* host, uint16_t port, int hosts, int64_t timeout_ms, void** out,
                         uint16_t* port_out) noexcept {
  return guarded([&] {
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = hosts != 0;
    options.waitWorkers = false;
    options.timeout = Milliseconds(timeout_ms);
    auto store = c10::make_intrusive<c10d::TCPStore>(std::string(host), options);
    *port_out = store->getPort();
    *out = new Store{std::move(store)};
  });
}

char* trainer_store_set(const void* store, const char* key, const char* data, size_t length) noexcept {
  return guarded([&] { store_of(store).set(key, bytes_of(data, length)); });
}

char* trainer_store_check(const void* store, const char* key, int* found) noexcept {
  return guarded([&] { *found = store_of(store).check({key}) ? 1 : 0; });
}

char* trainer_store_get(const void* store, const char* key, void** data, size_t* length) noexcept {
  return guarded([&] { copy_out(store_of(store).get(key), data, length); });
}

// Sets `key` where it has no value; gives the value that it has then.
char* trainer_store_set_first(const void* store, const char* key, const char* value, size_t value_length, void** data,
                              size_t* length) noexcept {
  return guarded([&] { copy_out(store_of(store).compareSet(key, {}, bytes_of(value, value_length)), data, length); });
}

void trainer_store_close(void* store) noexcept { delete static_cast<Store*>(store); }

// Gloo listens at `address`; where it is null libtorch looks at GLOO_SOCKET_IFNAME and then at the machine's name.
char* trainer_group_open(const void* store, const char* prefix, int rank, int size, int64_t timeout_ms,
                         const char* address, int cuda, void** out) noexcept {
  return guarded([&] {
    const Milliseconds timeout(timeout_ms);
    auto keys = c10::make_intrusive<c10d::PrefixStore>(prefix, static_cast<const Store*>(store)->tcp);
    using c10d::ProcessGroupGloo;
    auto options = address == nullptr ? ProcessGroupGloo::Options::create_default(timeout)
                                      : ProcessGroupGloo::Options::create(timeout);
    if (address != nullptr) options->devices = {ProcessGroupGloo::createDeviceForHostname(address)};
    auto group = std::make_unique<Group>();
    group->timeout = timeout;
    group->cpu = c10::make_intrusive<ProcessGroupGloo>(
        c10::make_intrusive<c10d::PrefixStore>("gloo", keys), rank, size, options);
    if (cuda != 0) {
#ifdef TRAINER_NCCL
      auto nccl = c10d::ProcessGroupNCCL::Options::create();
      nccl->timeout = timeout;
      group->cuda = c10::make_intrusive<c10d::ProcessGroupNCCL>(
          c10::make_intrusive<c10d::PrefixStore>("nccl", keys), rank, size, nccl);
#else
      TORCH_CHECK(false, "this program was built without NCCL; build with the feature `cuda`");
#endif
    }
    *out = group.release();
  });
}

char* trainer_group_broadcast(const void* group, void* tensor, int root) noexcept {
  return guarded([&] {
    Tensors tensors{tensor_of(tensor)};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    options.timeout = group_of(group).timeout;
    group_of(group).of(tensors[0]).broadcast(tensors, options)->wait();
  });
}

char* trainer_group_all_reduce(const void* group, void* tensor) noexcept {
  return guarded([&] {
    Tensors tensors{tensor_of(tensor)};
    c10d::AllreduceOptions options;
    options.timeout = group_of(group).timeout;
    group_of(group).of(tensors[0]).allreduce(tensors, options)->wait();
  });
}

// `outputs` has a tensor of the input's shape for every rank.
char* trainer_group_all_gather(const void* group, void* input, void* const* outputs, size_t count) noexcept {
  return guarded([&] {
    Tensors inputs{tensor_of(input)};
    std::vector<Tensors> gathered(1);
    for (size_t rank = 0; rank < count; ++rank) gathered[0].push_back(tensor_of(outputs[rank]));
    c10d::AllgatherOptions options;
    options.timeout = group_of(group).timeout;
    group_of(group).of(inputs[0]).allgather(gathered, inputs, options)->wait();
  });
}

char* trainer_group_send(const void* group, void* tensor, int to) noexcept {
  return guarded([&] {
    Tensors tensors{tensor_of(tensor)};
    group_of(group).of(tensors[0]).send(tensors, to, 0)->wait(group_of(group).timeout);
  });
}

char* trainer_group_receive(const void* group, void* tensor, int from) noexcept {
  return guarded([&] {
    Tensors tensors{tensor_of(tensor)};
    group_of(group).of(tensors[0]).recv(tensors, from, 0)->wait(group_of(group).timeout);
  });
}

char* trainer_group_barrier(const void* group) noexcept {
  return guarded([&] {
    c10d::BarrierOptions options;
    options.timeout = group_of(group).timeout;
    group_of(group).cpu->barrier(options)->wait();
  });
}

void trainer_group_close(void* group) noexcept { delete static_cast<Group*>(group); }

}  // extern "C"
