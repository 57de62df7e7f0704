// Losses as instructions: the shape rule of their targets and where softmax or sigmoid is folded into them.
#pragma once

#include <string>
#include <string_view>

#include "graph/builder.h"
#include "graph/graph.h"

namespace lepton {

struct LossNode {
  ValueId prediction = kNone;
  ValueId target = kNone;
  Attributes attributes;
  std::string name;
};

/// Throws when the loss cannot be taken of an output of this shape (without batch).
void check_loss(const LossSpec& loss, const Shape& output);
/// Shape of the targets for an output of this shape; both with or both without batch.
Shape target_shape(const LossSpec& loss, const Shape& output);
/// True when `op`, the operation right before the loss, is differentiated together with it.
bool folds_into(const LossSpec& loss, std::string_view op);
/// Target value and attributes; `output` with batch.
LossNode make_loss(const LossSpec& loss, const Shape& output, Builder& builder, std::size_t index);

}  // namespace lepton
