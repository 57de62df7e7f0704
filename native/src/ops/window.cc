#include "ops/window.h"

#include <algorithm>
#include <string>

namespace lepton {
namespace {

void check_positive(const Node& node, const char* what, const std::array<std::int64_t, 2>& pair) {
  if (pair[0] < 1 || pair[1] < 1)
    argument_error(node, what, "two positive numbers", to_string({pair[0], pair[1]}));
}

// As TensorFlow does: ceil(in / stride) outputs, the odd pixel at the bottom and right.
void pad_same(Attributes& attributes, const Shape& x, const std::array<std::int64_t, 2>& extent) {
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const std::int64_t in = x[1 + axis];
    const std::int64_t stride = attributes.strides[axis];
    const std::int64_t out = (in + stride - 1) / stride;
    const std::int64_t total = std::max<std::int64_t>((out - 1) * stride + extent[axis] - in, 0);
    attributes.padding[2 * axis] = total / 2;
    attributes.padding[2 * axis + 1] = total - total / 2;
  }
}

}  // namespace

void check_image(const Node& node) {
  const Shape& x = node.input_shapes[0];
  if (x.size() != 4)
    shape_error(node, "input is not an image", "(batch, height, width, channels)", to_string(x));
}

std::array<std::int64_t, 2> slide(Node& node, std::array<std::int64_t, 2> window, const char* what) {
  const OperationOptions& options = node.spec->options;
  const Shape& x = node.input_shapes[0];
  Attributes& attributes = node.attributes;
  check_positive(node, "strides", options.strides);
  check_positive(node, "dilation", options.dilation);
  check_positive(node, what, window);
  attributes.strides = options.strides;
  attributes.dilation = options.dilation;
  std::array<std::int64_t, 2> extent;
  for (std::size_t axis = 0; axis < 2; ++axis) extent[axis] = (window[axis] - 1) * options.dilation[axis] + 1;
  if (options.padding.rule == PaddingSpec::Rule::kSame) pad_same(attributes, x, extent);
  if (options.padding.rule == PaddingSpec::Rule::kExplicit) attributes.padding = options.padding.sizes;

  std::array<std::int64_t, 2> out;
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const std::int64_t before = attributes.padding[2 * axis];
    const std::int64_t after = attributes.padding[2 * axis + 1];
    if (before < 0 || after < 0 || before >= extent[axis] || after >= extent[axis]) {
      argument_error(node, "padding", "sizes from 0 to " + std::to_string(extent[axis] - 1),
                     to_string({before, after}));
    }
    const std::int64_t room = x[1 + axis] + before + after - extent[axis];
    if (room < 0) {
      shape_error(node, std::string(what) + " is larger than the padded input " + to_string(x),
                  "at most " + std::to_string(x[1 + axis] + before + after), std::to_string(extent[axis]));
    }
    out[axis] = room / attributes.strides[axis] + 1;
  }
  return out;
}

}  // namespace lepton
