// Sixteen floats as one value. The compiler lowers it to the registers of the clone it is compiled into (one
// of 512 bits, two of 256, four of 128), so a kernel is written once. Everything here is inlined into cloned
// functions.
#pragma once

#include <cstdint>
#include <cstring>

#define LEPTON_INLINE inline __attribute__((always_inline))

namespace lepton::cpu {

inline constexpr std::int64_t kLanes = 16;
// Passed by pointer or kept local: as an argument its calling convention would depend on the clone.
typedef float Lanes __attribute__((vector_size(64)));
typedef std::int32_t IntLanes __attribute__((vector_size(64)));

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpsabi"

LEPTON_INLINE Lanes load(const float* from) {
  Lanes value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

LEPTON_INLINE void store(float* to, const Lanes& value) { std::memcpy(to, &value, sizeof value); }

LEPTON_INLINE Lanes all(float value) { return Lanes{} + value; }

LEPTON_INLINE Lanes larger(const Lanes& a, const Lanes& b) { return a > b ? a : b; }

LEPTON_INLINE float sum_of(const Lanes& value) {
  float sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += value[i];
  return sum;
}

/// e^x to about one unit in the last place; 2^-126 below -87.3, 2^127.9 above 88.7.
/// Range reduction x = n ln 2 + r in two parts and the polynomial of Cephes' expf.
LEPTON_INLINE Lanes exp_of(const Lanes& argument) {
  const Lanes low = all(-87.336544f), high = all(88.72283f);
  Lanes x = argument < low ? low : argument;
  x = x > high ? high : x;
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  const Lanes shifted = x * 1.44269504088896341f + magic;
  const Lanes n = shifted - magic;
  const Lanes r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Lanes p = all(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  // 2^n in two halves: n = 128 alone would overflow the exponent.
  const IntLanes whole = __builtin_convertvector(n, IntLanes);
  const IntLanes half = whole >> 1;
  const IntLanes first = (half + 127) << 23, second = (whole - half + 127) << 23;
  Lanes scale_first, scale_second;
  std::memcpy(&scale_first, &first, sizeof first);
  std::memcpy(&scale_second, &second, sizeof second);
  return p * scale_first * scale_second;
}

#pragma GCC diagnostic pop

}  // namespace lepton::cpu
