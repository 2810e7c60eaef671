// The row kernels of kernels.h for one instruction set; compiled once per set, with KERNEL_VARIANT naming the table.
// Plain loops that the compiler vectorises. Rounding happens where the plain path of backend.rs rounds.

#include "kernels.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace trainer {
namespace {

inline float widen(float value) { return value; }
inline float widen(bf16 value) { return std::bit_cast<float>(static_cast<uint32_t>(value) << 16); }

inline uint32_t bf16_bits(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return value != value ? 0x7fc0u : rounded;
}

template <typename T>
inline T narrow(float value);
template <>
inline float narrow<float>(float value) { return value; }
template <>
inline bf16 narrow<bf16>(float value) { return static_cast<bf16>(bf16_bits(value)); }

// To the precision of T and back.
template <typename T>
inline float rounded(float value) { return widen(narrow<T>(value)); }
template <>
inline float rounded<bf16>(float value) { return std::bit_cast<float>(bf16_bits(value) << 16); }

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

template <typename T>
void residual_norm(const T* __restrict x, const T* __restrict delta, T* __restrict y, float* __restrict rstd,
                   int64_t rows, int64_t columns, float eps) {
  for (int64_t row = 0; row < rows; ++row, x += columns, delta += columns, y += columns) {
    float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < columns; ++i) {
      const float sum = rounded<T>(widen(x[i]) + widen(delta[i]));
      squares += sum * sum;
    }
    const float scale = 1.0f / std::sqrt(squares / static_cast<float>(columns) + eps);
    rstd[row] = scale;
#pragma omp simd
    for (int64_t i = 0; i < columns; ++i) {
      y[i] = narrow<T>(rounded<T>(widen(x[i]) + widen(delta[i])) * scale);
    }
  }
}

template <typename T>
void residual_norm_backward(const T* __restrict dy, const T* __restrict y, const float* __restrict rstd,
                            T* __restrict dx, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; ++row, dy += columns, y += columns, dx += columns) {
    float dot = 0.0f;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < columns; ++i) dot += widen(dy[i]) * widen(y[i]);
    const float along = dot / static_cast<float>(columns), scale = rstd[row];
#pragma omp simd
    for (int64_t i = 0; i < columns; ++i) dx[i] = narrow<T>(scale * (widen(dy[i]) - widen(y[i]) * along));
  }
}

template <typename T>
void silu_mul(const T* __restrict gate_up, T* __restrict out, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; ++row, gate_up += 2 * columns, out += columns) {
    const T *__restrict gate = gate_up, *__restrict up = gate_up + columns;
#pragma omp simd
    for (int64_t i = 0; i < columns; ++i) {
      const float g = widen(gate[i]);
      out[i] = narrow<T>(rounded<T>(g / (1.0f + exponential(-g))) * widen(up[i]));
    }
  }
}

struct GateGradient {
  float dgate, dup;
};

template <typename T>
inline GateGradient gate_gradient(float dact, float gate, float up) {
  const float s = sigmoid(gate), silu = rounded<T>(gate * s);
  return {rounded<T>(dact * up) * silu_slope(gate, s), dact * silu};
}

template <typename T>
void silu_mul_backward(const T* __restrict dout, const T* __restrict gate_up, T* __restrict dgate_up, int64_t rows,
                       int64_t columns) {
  for (int64_t row = 0; row < rows; ++row, dout += columns, gate_up += 2 * columns, dgate_up += 2 * columns) {
    const T *__restrict gate = gate_up, *__restrict up = gate_up + columns;
    T *__restrict dgate = dgate_up, *__restrict dup = dgate_up + columns;
#pragma omp simd
    for (int64_t i = 0; i < columns; ++i) {
      const GateGradient d = gate_gradient<T>(widen(dout[i]), widen(gate[i]), widen(up[i]));
      dgate[i] = narrow<T>(d.dgate);
      dup[i] = narrow<T>(d.dup);
    }
  }
}

template <typename T>
constexpr RowKernels<T> row_kernels() {
  return {residual_norm<T>, residual_norm_backward<T>, silu_mul<T>, silu_mul_backward<T>};
}

}  // namespace

extern const Kernels KERNEL_VARIANT;
const Kernels KERNEL_VARIANT = {
    row_kernels<float>(),
    row_kernels<bf16>(),
};

}  // namespace trainer
