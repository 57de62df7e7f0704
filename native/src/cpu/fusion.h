// Instructions that pay to run as one. A pure rewrite of the program's list; kernels for the results are in lower_*.cc.
#pragma once

#include <vector>

#include "graph/program.h"

namespace lepton::cpu {

struct FusedInstruction : Instruction {
  /// Forward: the output passes through relu before it is written (the pre-activation is never kept).
  /// kBatchNormBackward: dy is the gradient of the relu's output.
  bool relu = false;
  std::int64_t ready_from = -1;  // as Program::ready_from
};

/// - dense, convolution, batch norm or add followed by relu, when nothing else reads the value between them;
/// - the gradient of relu into the gradient of batch norm;
/// - max pooling after relu: the gradient passes the relu after pooling (smaller) instead of before.
std::vector<FusedInstruction> fuse(const Program& program);

}  // namespace lepton::cpu
