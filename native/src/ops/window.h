// Arithmetic of windows that slide over an image: padding resolved, output sizes, and what cannot be.
#pragma once

#include <array>
#include <cstdint>

#include "graph/node.h"

namespace lepton {

/// Sets node.attributes.strides, dilation and padding from the node's options and returns the output's height
/// and width. `window` is the kernel or pool size before dilation. Throws ENGINE_SHAPE or ENGINE_ARGUMENT.
std::array<std::int64_t, 2> slide(Node& node, std::array<std::int64_t, 2> window, const char* what);

/// Throws ENGINE_SHAPE unless the input is (batch, height, width, channels).
void check_image(const Node& node);

}  // namespace lepton
