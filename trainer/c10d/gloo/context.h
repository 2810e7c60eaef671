// See `gloo/algorithm.h`.
#pragma once

#include <chrono>

namespace gloo {
class Context {
 public:
  // libtorch creates contexts; this declaration has neither its size nor its fields.
  Context() = delete;
  void setTimeout(std::chrono::milliseconds timeout);
};
}  // namespace gloo
