// Products of small or oddly strided matrices, c = a b, where calling the library costs more than it saves.
// The right factor is packed first, into panels that fit the registers. One thread; callers cut the work.
#pragma once

#include <cstdint>

namespace lepton::cpu {

/// Element (i, j) of a matrix lies at data[i * row + j * column].
struct Strided {
  const float* data;
  std::int64_t row, column;
};

/// Floats of a packed (depth, columns) matrix.
std::int64_t packed_size(std::int64_t depth, std::int64_t columns);

/// factor * b in panels of sixteen columns, the last one filled up with zeros.
void pack(const Strided& b, std::int64_t depth, std::int64_t columns, float factor, float* packed);

struct Product {
  Strided a;            // (rows, depth)
  const float* packed;  // packed_depth rows, of which the first `depth` count
  std::int64_t packed_depth;
  float* c;  // (rows, columns), rows `stride` floats apart
  std::int64_t stride;
  std::int64_t rows, depth, columns;
  bool add = false;  // c += a b
};

void multiply(const Product& product);

}  // namespace lepton::cpu
