// The kernels of site_kernels.h, compiled once for each instruction set (SITE_VARIANT). Vectors are GCC's own: of 16
// floats where the processor has AVX-512, else of 8. All sums run in a fixed order, so that a run can be repeated to
// the bit.

#include "site_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace trainer {
namespace {

using Narrow = float __attribute__((vector_size(32)));
#if defined(__AVX512F__)
using Wide = float __attribute__((vector_size(64)));
constexpr int TILE_ROWS = 12;
#else
using Wide = Narrow;
constexpr int TILE_ROWS = 6;
#endif

template <typename V>
constexpr int64_t LANES = sizeof(V) / sizeof(float);

template <typename V>
inline V load(const float* from) {
  V value;
  std::memcpy(&value, from, sizeof(V));
  return value;
}

template <typename V>
inline void store(float* to, V value) {
  std::memcpy(to, &value, sizeof(V));
}

inline float sum_of(Narrow v) { return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7])); }

// A matrix whose element (i, j) lies at `at[i * row + j * column]`.
struct View {
  const float* at;
  int64_t row, column;
};

// C [ROWS, VECTORS · lanes] = or += A [ROWS, inner] · B [inner, …], rows of B and C contiguous.
template <typename V, int ROWS, int VECTORS>
inline void tile(int64_t inner, View a, const float* b, int64_t b_row, float* c, int64_t c_row, bool adds) {
  V sums[ROWS][VECTORS];
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; ++v) sums[i][v] = adds ? load<V>(c + i * c_row + v * LANES<V>) : V{};
  for (int64_t k = 0; k < inner; ++k) {
    V factors[VECTORS];
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; ++v) factors[v] = load<V>(b + k * b_row + v * LANES<V>);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; ++i) {
      const float scalar = a.at[i * a.row + k * a.column];
#pragma GCC unroll 2
      for (int v = 0; v < VECTORS; ++v) sums[i][v] += scalar * factors[v];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; ++v) store(c + i * c_row + v * LANES<V>, sums[i][v]);
}

template <typename V, int VECTORS, int ROWS>
inline void rows_left(int64_t rows, int64_t inner, View a, const float* b, int64_t b_row, float* c, int64_t c_row,
                      bool adds) {
  if constexpr (ROWS > 0) {
    if (rows == ROWS) return tile<V, ROWS, VECTORS>(inner, a, b, b_row, c, c_row, adds);
    rows_left<V, VECTORS, ROWS - 1>(rows, inner, a, b, b_row, c, c_row, adds);
  }
}

template <typename V, int VECTORS>
void panel(int64_t rows, int64_t inner, View a, const float* b, int64_t b_row, float* c, int64_t c_row, bool adds) {
  int64_t i = 0;
  for (; i + TILE_ROWS <= rows; i += TILE_ROWS)
    tile<V, TILE_ROWS, VECTORS>(inner, {a.at + i * a.row, a.row, a.column}, b, b_row, c + i * c_row, c_row, adds);
  rows_left<V, VECTORS, TILE_ROWS - 1>(rows - i, inner, {a.at + i * a.row, a.row, a.column}, b, b_row, c + i * c_row,
                                       c_row, adds);
}

// C [rows, columns] = or += A [rows, inner] · B [inner, columns]; `columns` is a multiple of SITE_WIDTH.
void product(int64_t rows, int64_t columns, int64_t inner, View a, const float* b, int64_t b_row, float* c, int64_t c_row,
             bool adds) {
  int64_t j = 0;
  for (; j + 2 * LANES<Wide> <= columns; j += 2 * LANES<Wide>)
    panel<Wide, 2>(rows, inner, a, b + j, b_row, c + j, c_row, adds);
  for (; j + LANES<Wide> <= columns; j += LANES<Wide>) panel<Wide, 1>(rows, inner, a, b + j, b_row, c + j, c_row, adds);
  for (; j < columns; j += SITE_WIDTH) panel<Narrow, 1>(rows, inner, a, b + j, b_row, c + j, c_row, adds);
}

View plain(const float* at, int64_t row) { return {at, row, 1}; }
View transposed(const float* at, int64_t row) { return {at, 1, row}; }

// e^x to 2e-7 of itself; x is cut at ±87.
inline Narrow exp_of(Narrow x) {
  using Bits = int32_t __attribute__((vector_size(32)));
  constexpr float LARGEST = 87.0F, SHIFT = 12582912.0F;
  x = x < -LARGEST ? Narrow{} - LARGEST : x;
  x = x > LARGEST ? Narrow{} + LARGEST : x;
  const Narrow shifted = x * 1.44269504F + SHIFT;
  const Narrow n = shifted - SHIFT;
  const Narrow r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  Narrow p = 1.9875691500e-4F * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  Bits power;
  std::memcpy(&power, &shifted, sizeof power);
  power = (power - 0x4B400000 + 127) << 23;
  Narrow scale;
  std::memcpy(&scale, &power, sizeof scale);
  return p * scale;
}

inline Narrow sigmoid(Narrow x) { return 1.0F / (1.0F + exp_of(-x)); }

// y = (x + delta) / sqrt(mean((x + delta)²) + eps) row by row; `y` may be `delta`.
void residual_norm(int64_t sites, int64_t width, const float* x, const float* delta, float eps, float* y, float* rstd) {
  for (int64_t t = 0; t < sites; ++t, x += width, delta += width, y += width) {
    Narrow squares{};
    for (int64_t j = 0; j < width; j += SITE_WIDTH) {
      const Narrow sum = load<Narrow>(x + j) + load<Narrow>(delta + j);
      squares += sum * sum;
      store(y + j, sum);
    }
    const float scale = 1.0F / std::sqrt(sum_of(squares) / static_cast<float>(width) + eps);
    rstd[t] = scale;
    for (int64_t j = 0; j < width; j += SITE_WIDTH) store(y + j, load<Narrow>(y + j) * scale);
  }
}

// Gradient of the sum inside the norm, which is that of both of its terms.
void residual_norm_backward(int64_t sites, int64_t width, const float* dy, const float* y, const float* rstd, float* dsum) {
  for (int64_t t = 0; t < sites; ++t, dy += width, y += width, dsum += width) {
    Narrow dots{};
    for (int64_t j = 0; j < width; j += SITE_WIDTH) dots += load<Narrow>(dy + j) * load<Narrow>(y + j);
    const float mean = sum_of(dots) / static_cast<float>(width);
    for (int64_t j = 0; j < width; j += SITE_WIDTH)
      store(dsum + j, (load<Narrow>(dy + j) - load<Narrow>(y + j) * mean) * rstd[t]);
  }
}

constexpr float UNIT_SUM_SCALE = 1.0F / 3.0F;

int64_t units_scratch(const UnitsShape& s) {
  return s.sites * (UNIT_PARTS * s.pool + s.width) + s.units * (s.width + s.pool);
}

// First unit of each kind among those of a board: units are numbered kind by kind.
struct KindRange {
  int64_t begin, end;
};

KindRange kind_range(const UnitsShape& s, const int32_t* links, int64_t kind) {
  // The numbers of a kind are consecutive, so that their least and greatest are its range.
  int32_t least = std::numeric_limits<int32_t>::max(), greatest = -1;
  for (int64_t t = 0; t < s.sites; ++t) {
    const int32_t unit = links[t * UNIT_KINDS + kind];
    least = std::min(least, unit);
    greatest = std::max(greatest, unit);
  }
  return {least, greatest + 1};
}

void units_forward(const UnitsShape& s, const float* x, const int32_t* links, const UnitsWeights& weights, float eps,
                   float* y, const UnitsKept& kept, float* scratch) {
  if (s.sites == 0) return;
  const int64_t sent_row = UNIT_PARTS * s.pool, half = s.pool / 2;
  float *sent = scratch, *answers = sent + s.sites * sent_row;
  product(s.sites, sent_row, s.width, plain(x, s.width), weights.input_t, sent_row, sent, sent_row, false);

  for (int64_t u = 0; u < s.units; ++u) {
    std::fill_n(kept.pooled + u * s.pool, half, 0.0F);
    std::fill_n(kept.pooled + u * s.pool + half, half, -std::numeric_limits<float>::infinity());
  }
  for (int64_t t = 0; t < s.sites; ++t) {
    for (int64_t kind = 0; kind < UNIT_KINDS; ++kind) {
      const int64_t unit = links[t * UNIT_KINDS + kind];
      const float* from = sent + t * sent_row + PART_OF_KIND[kind] * s.pool;
      float* pooled = kept.pooled + unit * s.pool;
      int32_t* argmax = kept.argmax + unit * half;
      for (int64_t j = 0; j < half; ++j) pooled[j] += from[j];
      for (int64_t j = 0; j < half; ++j) {
        const bool greater = from[half + j] > pooled[half + j];
        pooled[half + j] = greater ? from[half + j] : pooled[half + j];
        argmax[j] = greater ? static_cast<int32_t>(t) : argmax[j];
      }
    }
  }
  for (int64_t u = 0; u < s.units; ++u)
    for (int64_t j = 0; j < half; ++j) kept.pooled[u * s.pool + j] *= UNIT_SUM_SCALE;

  for (int64_t kind = 0; kind < UNIT_KINDS; ++kind) {
    const auto [begin, end] = kind_range(s, links, kind);
    product(end - begin, s.width, s.pool, plain(kept.pooled + begin * s.pool, s.pool),
            weights.output_t + PART_OF_KIND[kind] * s.pool * s.width, s.width, answers + begin * s.width, s.width, false);
  }
  for (int64_t t = 0; t < s.sites; ++t) {
    const int32_t* units = links + t * UNIT_KINDS;
    const float *a = answers + units[0] * s.width, *b = answers + units[1] * s.width, *c = answers + units[2] * s.width,
                *d = answers + units[3] * s.width;
    float* delta = y + t * s.width;
    for (int64_t j = 0; j < s.width; j += SITE_WIDTH)
      store(delta + j, (load<Narrow>(a + j) + load<Narrow>(b + j)) + (load<Narrow>(c + j) + load<Narrow>(d + j)));
  }
  residual_norm(s.sites, s.width, x, y, eps, y, kept.rstd);
}

void units_backward(const UnitsShape& s, const float* dy, const float* x, const float* y, const int32_t* links,
                    const UnitsWeights& weights, const UnitsKept& kept, float* dx, float* dinput, float* doutput,
                    float* scratch) {
  if (s.sites == 0) return;
  const int64_t sent_row = UNIT_PARTS * s.pool, half = s.pool / 2;
  float *dsent = scratch, *danswers = dsent + s.sites * sent_row, *dpooled = danswers + s.units * s.width;
  residual_norm_backward(s.sites, s.width, dy, y, kept.rstd, dx);

  std::fill_n(danswers, s.units * s.width, 0.0F);
  for (int64_t t = 0; t < s.sites; ++t)
    for (int64_t kind = 0; kind < UNIT_KINDS; ++kind) {
      float* sum = danswers + links[t * UNIT_KINDS + kind] * s.width;
      for (int64_t j = 0; j < s.width; j += SITE_WIDTH)
        store(sum + j, load<Narrow>(sum + j) + load<Narrow>(dx + t * s.width + j));
    }
  for (int64_t kind = 0; kind < UNIT_KINDS; ++kind) {
    const auto [begin, end] = kind_range(s, links, kind);
    // [width, pool] of the weight [width, 3 pool].
    product(s.width, s.pool, end - begin, transposed(danswers + begin * s.width, s.width), kept.pooled + begin * s.pool,
            s.pool, doutput + PART_OF_KIND[kind] * s.pool, sent_row, true);
    product(end - begin, s.pool, s.width, plain(danswers + begin * s.width, s.width), weights.output + PART_OF_KIND[kind] * s.pool,
            sent_row, dpooled + begin * s.pool, s.pool, false);
  }
  std::fill_n(dsent, s.sites * sent_row, 0.0F);
  for (int64_t t = 0; t < s.sites; ++t)
    for (int64_t kind = 0; kind < UNIT_KINDS; ++kind) {
      const int64_t unit = links[t * UNIT_KINDS + kind];
      const float* from = dpooled + unit * s.pool;
      const int32_t* argmax = kept.argmax + unit * half;
      float* to = dsent + t * sent_row + PART_OF_KIND[kind] * s.pool;
      for (int64_t j = 0; j < half; ++j) to[j] += from[j] * UNIT_SUM_SCALE;
      for (int64_t j = 0; j < half; ++j) to[half + j] += argmax[j] == t ? from[half + j] : 0.0F;
    }
  product(sent_row, s.width, s.sites, transposed(dsent, sent_row), x, s.width, dinput, s.width, true);
  product(s.sites, s.width, sent_row, plain(dsent, sent_row), weights.input, s.width, dx, s.width, true);
}

// Sites that an MLP takes at a time, so that what lies between its products stays in the first caches.
constexpr int64_t BLOCK = 48;

int64_t mlp_scratch(const MlpSiteShape& s) {
  // Forward: gates and ups, and a row of zeros; backward: besides, two of [sites, inner].
  return (s.sites + 1) * 2 * s.inner + 2 * (s.sites + 1) * s.inner + s.sites * s.width + 3 * BLOCK * s.inner;
}

// The stencil's sum for site `t` into `out` [inner]; `rows` [sites + 1, stride], the last of zeros.
void gather_stencil(const MlpSiteShape& s, const float* rows, int64_t stride, const int32_t* links, const float* stencil,
                    int64_t t, float* out) {
  const int32_t* around = links + t * STENCIL;
  for (int64_t j = 0; j < s.inner; j += SITE_WIDTH) {
    Narrow sum{};
    for (int64_t n = 0; n < STENCIL; ++n)
      sum += load<Narrow>(stencil + n * s.inner + j) * load<Narrow>(rows + around[n] * stride + j);
    store(out + j, sum);
  }
}

void mlp_forward(const MlpSiteShape& s, const float* x, const int32_t* links, const SiteMlpWeights& weights, float eps,
                 float* y, float* rstd, float* kept, float* scratch) {
  if (s.sites == 0) return;
  const int64_t gates_row = 2 * s.inner;
  const bool local = weights.stencil != nullptr;
  // A stencil wants a row of zeros behind its input.
  float* gate_up = kept != nullptr && !local ? kept : scratch;
  float *zeros = scratch + s.sites * gates_row, *active = zeros + gates_row;
  std::fill_n(zeros, gates_row, 0.0F);
  for (int64_t begin = 0; begin < s.sites; begin += BLOCK) {
    const int64_t count = std::min(BLOCK, s.sites - begin);
    product(count, gates_row, s.width, plain(x + begin * s.width, s.width), weights.gate_up_t, gates_row,
            gate_up + begin * gates_row, gates_row, false);
    if (local) continue;
    for (int64_t t = 0; t < count; ++t) {
      const float* row = gate_up + (begin + t) * gates_row;
      for (int64_t j = 0; j < s.inner; j += SITE_WIDTH) {
        const Narrow gate = load<Narrow>(row + j);
        store(active + t * s.inner + j, gate * sigmoid(gate) * load<Narrow>(row + s.inner + j));
      }
    }
    product(count, s.width, s.inner, plain(active, s.inner), weights.down_t, s.width, y + begin * s.width, s.width, false);
  }
  for (int64_t begin = 0; local && begin < s.sites; begin += BLOCK) {
    const int64_t count = std::min(BLOCK, s.sites - begin);
    for (int64_t t = 0; t < count; ++t) {
      const float* row = gate_up + (begin + t) * gates_row;
      float* out = active + t * s.inner;
      gather_stencil(s, gate_up + s.inner, gates_row, links, weights.stencil, begin + t, out);
      for (int64_t j = 0; j < s.inner; j += SITE_WIDTH) {
        const Narrow gate = load<Narrow>(row + j);
        store(out + j, gate * sigmoid(gate) * load<Narrow>(out + j));
      }
    }
    product(count, s.width, s.inner, plain(active, s.inner), weights.down_t, s.width, y + begin * s.width, s.width, false);
  }
  if (kept != nullptr && local) std::memcpy(kept, gate_up, sizeof(float) * s.sites * gates_row);
  residual_norm(s.sites, s.width, x, y, eps, y, rstd);
}

void mlp_backward(const MlpSiteShape& s, const float* dy, const float* x, const float* y, const int32_t* links,
                  const SiteMlpWeights& weights, const float* rstd, const float* kept, float* dx,
                  const SiteMlpGradients& gradients, float* scratch) {
  if (s.sites == 0) return;
  const int64_t gates_row = 2 * s.inner;
  const bool local = weights.stencil != nullptr;
  // Of the whole board: gradients of gates and ups; of the stencil's sums with a row of zeros; a copy of the ups.
  float *dgate_up = scratch, *dseen = dgate_up + s.sites * gates_row, *ups = dseen + (s.sites + 1) * s.inner;
  float *active = ups + (s.sites + 1) * s.inner, *dactive = active + BLOCK * s.inner, *seen = dactive + BLOCK * s.inner;
  residual_norm_backward(s.sites, s.width, dy, y, rstd, dx);
  if (local) {
    for (int64_t t = 0; t < s.sites; ++t)
      std::memcpy(ups + t * s.inner, kept + t * gates_row + s.inner, sizeof(float) * s.inner);
    std::fill_n(ups + s.sites * s.inner, s.inner, 0.0F);
    std::fill_n(dseen + s.sites * s.inner, s.inner, 0.0F);
  }
  for (int64_t begin = 0; begin < s.sites; begin += BLOCK) {
    const int64_t count = std::min(BLOCK, s.sites - begin);
    const float* dout = dx + begin * s.width;
    product(count, s.inner, s.width, plain(dout, s.width), weights.down, s.inner, dactive, s.inner, false);
    for (int64_t t = 0; t < count; ++t) {
      const float* row = kept + (begin + t) * gates_row;
      const float* up = row + s.inner;
      if (local) {
        gather_stencil(s, ups, s.inner, links, weights.stencil, begin + t, seen);
        up = seen;
      }
      float* drow = dgate_up + (begin + t) * gates_row;
      float* dup = local ? dseen + (begin + t) * s.inner : drow + s.inner;
      for (int64_t j = 0; j < s.inner; j += SITE_WIDTH) {
        const Narrow gate = load<Narrow>(row + j), share = sigmoid(gate), silu = gate * share;
        const Narrow value = load<Narrow>(up + j), gradient = load<Narrow>(dactive + t * s.inner + j);
        store(active + t * s.inner + j, silu * value);
        store(drow + j, gradient * value * (share + silu * (1.0F - share)));
        store(dup + j, gradient * silu);
      }
    }
    product(s.width, s.inner, count, transposed(dout, s.width), active, s.inner, gradients.down, s.inner, true);
  }
  if (local) {
    for (int64_t t = 0; t < s.sites; ++t) {
      const int32_t* around = links + t * STENCIL;
      float* dup = dgate_up + t * gates_row + s.inner;
      for (int64_t j = 0; j < s.inner; j += SITE_WIDTH) {
        // A cell is seen by its neighbours from the opposite side.
        Narrow sum{};
        for (int64_t n = 0; n < STENCIL; ++n)
          sum += load<Narrow>(weights.stencil + (STENCIL - 1 - n) * s.inner + j) *
                 load<Narrow>(dseen + around[n] * s.inner + j);
        store(dup + j, sum);
        const Narrow gradient = load<Narrow>(dseen + t * s.inner + j);
        for (int64_t n = 0; n < STENCIL; ++n) {
          float* dweight = gradients.stencil + n * s.inner + j;
          store(dweight, load<Narrow>(dweight) + gradient * load<Narrow>(ups + around[n] * s.inner + j));
        }
      }
    }
  }
  product(gates_row, s.width, s.sites, transposed(dgate_up, gates_row), x, s.width, gradients.gate_up, s.width, true);
  product(s.sites, s.width, gates_row, plain(dgate_up, gates_row), weights.gate_up, s.width, dx, s.width, true);
}

}  // namespace

extern const SiteKernels SITE_VARIANT;
const SiteKernels SITE_VARIANT = {units_scratch, units_forward, units_backward, mlp_scratch, mlp_forward, mlp_backward};

}  // namespace trainer
