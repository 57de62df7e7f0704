// Numbers in wire data, which lies at any alignment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace lepton::codec {

template <class Number>
inline Number load(const std::byte* wire, std::int64_t index = 0) {
  Number number;
  std::memcpy(&number, wire + index * static_cast<std::int64_t>(sizeof(Number)), sizeof(Number));
  return number;
}

template <class Number>
inline void store(std::byte* wire, std::int64_t index, Number number) {
  std::memcpy(wire + index * static_cast<std::int64_t>(sizeof(Number)), &number, sizeof(Number));
}

/// What a decoder does with each value: decode writes it, accumulate adds it with a weight.
struct Write {
  float* to;
  void operator()(std::int64_t i, float value) const { to[i] = value; }
};
struct Add {
  float* to;
  float weight;
  void operator()(std::int64_t i, float value) const { to[i] += weight * value; }
};

}  // namespace lepton::codec
