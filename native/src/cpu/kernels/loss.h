// Losses and their gradients over rows or elements; the formulas stand at LossKind in graph/program.h.
#pragma once

#include <cstdint>

#include "graph/program.h"

namespace lepton::cpu {

struct LossGeometry {
  std::int64_t rows, columns;  // of the prediction; a row is its last dimension
};

/// The mean loss, without the weight. `target` is int32 for the sparse cross-entropy, float for the others.
double loss(const Attributes& attributes, const LossGeometry& geometry, const float* prediction,
            const void* target);

/// d (weight * mean loss) / d prediction. dx may be `prediction`.
void loss_backward(const Attributes& attributes, const LossGeometry& geometry, const float* prediction,
                   const void* target, float* dx);

}  // namespace lepton::cpu
