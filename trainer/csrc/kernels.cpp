// The row kernels of kernels.h for one instruction set; compiled once per set, with KERNEL_VARIANT naming the table.
// Plain loops that the compiler vectorises. Rounding happens where the plain path of backend.rs rounds.

#include "kernels.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace trainer {
namespace {

inline float widen(bf16 value) { return std::bit_cast<float>(static_cast<uint32_t>(value) << 16); }

inline uint32_t bf16_bits(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return value != value ? 0x7fc0u : rounded;
}

inline bf16 narrow(float value) { return static_cast<bf16>(bf16_bits(value)); }

// To the precision of bf16 and back.
inline float rounded(float value) { return std::bit_cast<float>(bf16_bits(value) << 16); }

// exp to about one unit in the last place (minimax polynomial on [-ln2/2, ln2/2]); the argument is clamped to where
// the result is a normal number.
inline float exponential(float x) {
  x = x < -87.3f ? -87.3f : x;
  x = x > 88.7f ? 88.7f : x;
  // Adding and subtracting 1.5 * 2^23 rounds to an integer.
  const float shifted = x * 1.44269504088896341f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  float r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  // In two factors, because 2^128 is no float.
  const int32_t exponent = static_cast<int32_t>(n);
  const int32_t half = exponent >> 1;
  return p * std::bit_cast<float>((half + 127) << 23) * std::bit_cast<float>((exponent - half + 127) << 23);
}

inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

inline float silu_slope(float x, float sigmoid_of_x) { return sigmoid_of_x * (1.0f + x * (1.0f - sigmoid_of_x)); }

void residual_norm(const bf16* __restrict x, const bf16* __restrict delta, bf16* __restrict y, float* __restrict rstd,
                   int64_t rows, int64_t columns, float eps) {
  for (int64_t row = 0; row < rows; ++row, x += columns, delta += columns, y += columns) {
    float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < columns; ++i) {
      const float sum = rounded(widen(x[i]) + widen(delta[i]));
      squares += sum * sum;
    }
    const float scale = 1.0f / std::sqrt(squares / static_cast<float>(columns) + eps);
    rstd[row] = scale;
#pragma omp simd
    for (int64_t i = 0; i < columns; ++i) {
      y[i] = narrow(rounded(widen(x[i]) + widen(delta[i])) * scale);
    }
  }
}

void residual_norm_backward(const bf16* __restrict dy, const bf16* __restrict y, const float* __restrict rstd,
                            bf16* __restrict dx, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; ++row, dy += columns, y += columns, dx += columns) {
    float dot = 0.0f;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < columns; ++i) dot += widen(dy[i]) * widen(y[i]);
    const float along = dot / static_cast<float>(columns), scale = rstd[row];
#pragma omp simd
    for (int64_t i = 0; i < columns; ++i) dx[i] = narrow(scale * (widen(dy[i]) - widen(y[i]) * along));
  }
}

void silu_mul(const bf16* __restrict gate_up, bf16* __restrict out, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; ++row, gate_up += 2 * columns, out += columns) {
    const bf16 *__restrict gate = gate_up, *__restrict up = gate_up + columns;
#pragma omp simd
    for (int64_t i = 0; i < columns; ++i) {
      const float g = widen(gate[i]);
      out[i] = narrow(rounded(g / (1.0f + exponential(-g))) * widen(up[i]));
    }
  }
}

struct GateGradient {
  float dgate, dup;
};

inline GateGradient gate_gradient(float dact, float gate, float up) {
  const float s = sigmoid(gate), silu = rounded(gate * s);
  return {rounded(dact * up) * silu_slope(gate, s), dact * silu};
}

void silu_mul_backward(const bf16* __restrict dout, const bf16* __restrict gate_up, bf16* __restrict dgate_up,
                       int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; ++row, dout += columns, gate_up += 2 * columns, dgate_up += 2 * columns) {
    const bf16 *__restrict gate = gate_up, *__restrict up = gate_up + columns;
    bf16 *__restrict dgate = dgate_up, *__restrict dup = dgate_up + columns;
#pragma omp simd
    for (int64_t i = 0; i < columns; ++i) {
      const GateGradient d = gate_gradient(widen(dout[i]), widen(gate[i]), widen(up[i]));
      dgate[i] = narrow(d.dgate);
      dup[i] = narrow(d.dup);
    }
  }
}

}  // namespace

extern const RowKernels KERNEL_VARIANT;
const RowKernels KERNEL_VARIANT = {residual_norm, residual_norm_backward, silu_mul, silu_mul_backward};

}  // namespace trainer
