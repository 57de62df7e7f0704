// Instructions that pay to run as one. Rewrites the list only; kernels for the results are in lower_*.cc.
#pragma once

#include <vector>

#include "graph/program.h"

namespace lepton::cpu {

struct FusedInstruction : Instruction {
  /// Forward: the output passes through relu before it is written (the pre-activation is never kept).
  /// kBatchNormBackward: dy is the gradient of the relu's output, which is `relu_output`.
  bool relu = false;
  ValueId relu_output = kNone;
  std::int64_t ready_from = -1;  // as Program::ready_from
};

/// Takes the instructions of `program` and joins
/// - dense, convolution, batch norm or add with the relu after it, when nothing else reads the value between
/// them;
/// - the gradient of that relu with the gradient of batch norm;
/// and lets a gradient pass a relu after max pooling (smaller) instead of before it: the maximum commutes
/// with relu. May change the shapes of temporary values.
std::vector<FusedInstruction> fuse(Program& program);

}  // namespace lepton::cpu
