// Where temporaries lie in the workspace: liveness over the step list, then best fit. Pure: sizes in, offsets
// out.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cpu/step.h"

namespace lepton::cpu {

struct MemoryPlan {
  std::vector<std::int64_t>
      offsets;             // by BufferId, in bytes, multiples of 64; -1 for bound or unused buffers
  std::int64_t bytes = 0;  // of the whole workspace
};

/// Two temporaries overlap only if no step needs both, or if one replaces the other in place
/// (Buffer::may_replace).
MemoryPlan plan_memory(std::span<const Buffer> buffers, std::span<const Step> steps);

}  // namespace lepton::cpu
