// Dropout with the engine's counter-based mask (ops/philox.h), many counters at a time.
#pragma once

#include <cstdint>

#include "ops/philox.h"

namespace lepton::cpu {

inline constexpr std::int64_t kDropoutGroup = 64;  // elements drawn together

/// y[i] = kept(i) ? x[i] / (1 - rate) : 0 for begin <= i < end; `begin` is a multiple of kDropoutGroup. y may
/// be x.
void dropout(const DropoutMask& mask, double rate, const float* x, float* y, std::int64_t begin,
             std::int64_t end);

}  // namespace lepton::cpu
