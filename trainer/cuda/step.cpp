// What a training step on a GPU needs of CUDA beyond libtorch's operations: recordings of its work that are replayed as
// one launch, and libtorch's own word on how often the host waits. Owns the C interface; `src/cuda.rs` owns its use. No
// exception leaves a function: they return a text from `strdup`, or null.

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/util/Exception.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <optional>
#include <string>

namespace {

struct Graph {
  at::cuda::CUDAGraph graph;
  // The stream to go back to while a recording is being made.
  std::optional<c10::cuda::CUDAStream> before;
};

// Counts the warnings that libtorch gives where it waits for a GPU; other warnings go their way.
class SyncCounter : public c10::WarningHandler {
 public:
  void process(const c10::Warning& warning) override {
    if (warning.msg().find("synchronizing CUDA operation") != std::string::npos) {
      ++found;
    } else {
      c10::WarningHandler::process(warning);
    }
  }
  std::atomic<uint64_t> found{0};
};

SyncCounter counter;

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

Graph& graph_of(void* graph) { return *static_cast<Graph*>(graph); }

}  // namespace

extern "C" {

// From here to `trainer_graph_end` operations on the current stream's device are recorded in place of being run.
char* trainer_graph_begin(int device, void** out) noexcept {
  return guarded([&] {
    auto graph = std::make_unique<Graph>();
    graph->before = c10::cuda::getCurrentCUDAStream(static_cast<c10::DeviceIndex>(device));
    // CUDA records no default stream, and what is still queued there must not be waited for in the recording.
    c10::cuda::device_synchronize();
    c10::cuda::setCurrentCUDAStream(c10::cuda::getStreamFromPool(false, static_cast<c10::DeviceIndex>(device)));
    try {
      graph->graph.capture_begin();
    } catch (...) {
      c10::cuda::setCurrentCUDAStream(*graph->before);
      throw;
    }
    *out = graph.release();
  });
}

char* trainer_graph_end(void* graph) noexcept {
  return guarded([&] {
    // Also where the recording has failed.
    c10::cuda::CUDAStream before = *graph_of(graph).before;
    try {
      graph_of(graph).graph.capture_end();
    } catch (...) {
      c10::cuda::setCurrentCUDAStream(before);
      throw;
    }
    c10::cuda::setCurrentCUDAStream(before);
  });
}

// Queues what was recorded.
char* trainer_graph_replay(void* graph) noexcept {
  return guarded([&] { graph_of(graph).graph.replay(); });
}

void trainer_graph_close(void* graph) noexcept {
  // Work that is queued may still read the recording's memory.
  (void)guarded([&] { c10::cuda::device_synchronize(); });
  delete static_cast<Graph*>(graph);
}

// Begins to count where this thread waits for a GPU.
void trainer_syncs_begin() noexcept {
  counter.found = 0;
  c10::WarningUtils::set_warning_handler(&counter);
  c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_WARN);
}

// Ends it; gives their number.
uint64_t trainer_syncs_end() noexcept {
  c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_DISABLED);
  c10::WarningUtils::set_warning_handler(nullptr);
  return counter.found;
}

}  // extern "C"
