// See memory.cpp.
#pragma once

namespace trainer {

// From now on tensors on the CPU take their memory from the pool; earlier ones return theirs where it came from.
void pool_tensor_memory();

}  // namespace trainer
