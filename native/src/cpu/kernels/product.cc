// One panel of b stays in the first-level cache while the rows of a pass by, a few at a time, with their sums
// in registers. The vectors have the width of the machine's registers: an array of wider ones would lie in
// memory.
#include "cpu/kernels/product.h"

#include <algorithm>
#include <cstring>

#include "cpu/kernels/lanes.h"
#include "cpu/kernels/simd.h"

namespace lepton::cpu {
namespace {

/// 32 registers of 512 bits: eight sums hide the latency of a multiplication.
struct Wide {
  typedef float Vector __attribute__((vector_size(64)));
  static constexpr int kRows = 8;
};

/// 16 registers of 256 bits: eight hold sums.
struct Narrow {
  typedef float Vector __attribute__((vector_size(32)));
  static constexpr int kRows = 4;
};

struct Tile {
  const float *a, *panel;
  std::int64_t row, column, depth;
  float* c;
  std::int64_t stride, columns;  // columns: at most kLanes
  bool add;
};

template <class Vector>
LEPTON_INLINE void put(const Tile& tile, float* to, const Vector* sums, int vectors) {
  if (tile.columns < kLanes) {
    float row[kLanes];
    std::memcpy(row, sums, sizeof row);
    for (std::int64_t i = 0; i < tile.columns; ++i) to[i] = tile.add ? to[i] + row[i] : row[i];
    return;
  }
  for (int v = 0; v < vectors; ++v, to += sizeof(Vector) / sizeof(float)) {
    Vector before{};
    if (tile.add) std::memcpy(&before, to, sizeof before);
    const Vector after = before + sums[v];
    std::memcpy(to, &after, sizeof after);
  }
}

template <class Vector, int rows>
LEPTON_INLINE void compute(const Tile& tile) {
  constexpr std::int64_t kWidth = sizeof(Vector) / sizeof(float);
  constexpr int kVectors = kLanes / kWidth;
  Vector sums[rows][kVectors] = {};
  const float* a = tile.a;
  const float* panel = tile.panel;
  for (std::int64_t p = 0; p < tile.depth; ++p, a += tile.column, panel += kLanes) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      Vector b;
      std::memcpy(&b, panel + v * kWidth, sizeof b);
#pragma GCC unroll 8
      for (int i = 0; i < rows; ++i) sums[i][v] += b * a[i * tile.row];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) put(tile, tile.c + i * tile.stride, sums[i], kVectors);
}

template <class Registers>
LEPTON_INLINE void compute_all(const Product& product) {
  using Vector = typename Registers::Vector;
  const Strided& a = product.a;
  for (std::int64_t first = 0; first < product.columns; first += kLanes) {
    Tile tile{a.data,         product.packed + first * product.packed_depth,
              a.row,          a.column,
              product.depth,  product.c + first,
              product.stride, std::min(kLanes, product.columns - first),
              product.add};
    std::int64_t row = 0;
    for (; row + Registers::kRows <= product.rows; row += Registers::kRows) {
      compute<Vector, Registers::kRows>(tile);
      tile.a += Registers::kRows * a.row;
      tile.c += Registers::kRows * product.stride;
    }
    for (; row < product.rows; ++row) {
      compute<Vector, 1>(tile);
      tile.a += a.row;
      tile.c += product.stride;
    }
  }
}

}  // namespace

std::int64_t packed_size(std::int64_t depth, std::int64_t columns) {
  return depth * ((columns + kLanes - 1) / kLanes) * kLanes;
}

LEPTON_SIMD void pack(const Strided& b, std::int64_t depth, std::int64_t columns, float factor,
                      float* packed) {
  for (std::int64_t first = 0; first < columns; first += kLanes, packed += depth * kLanes) {
    const std::int64_t width = std::min(kLanes, columns - first);
    const float* from = b.data + first * b.column;
    if (width == kLanes && b.column == 1) {
      for (std::int64_t p = 0; p < depth; ++p) store(packed + p * kLanes, load(from + p * b.row) * factor);
      continue;
    }
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      for (std::int64_t p = 0; p < depth; ++p)
        packed[p * kLanes + lane] = lane < width ? factor * from[p * b.row + lane * b.column] : 0.0f;
    }
  }
}

namespace {

#if LEPTON_VERSIONS
#define LEPTON_FOR(arch) __attribute__((target(arch)))
LEPTON_FOR("arch=x86-64-v4") void run(const Product& product) { compute_all<Wide>(product); }
LEPTON_FOR("arch=x86-64-v3") void run(const Product& product) { compute_all<Narrow>(product); }
LEPTON_FOR("default") void run(const Product& product) { compute_all<Narrow>(product); }
#else
void run(const Product& product) { compute_all<Narrow>(product); }
#endif

}  // namespace

// Elsewhere the declaration alone would mean the default version.
void multiply(const Product& product) { run(product); }

}  // namespace lepton::cpu
