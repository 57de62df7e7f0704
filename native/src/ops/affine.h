// The scale and offset of a normalization: gamma? and beta? at the head of its parameters.
#pragma once

#include "graph/builder.h"
#include "graph/node.h"

namespace lepton {

inline std::size_t affine_count(const NodeSpec& spec) {
  return (spec.options.scale ? 1U : 0U) + (spec.options.center ? 1U : 0U);
}

/// Position of gamma and beta among the parameters; past the end when absent.
inline std::size_t gamma_position(const Node& node) {
  return node.spec->options.scale ? 0 : node.parameter_indices.size();
}
inline std::size_t beta_position(const Node& node) {
  if (!node.spec->options.center) return node.parameter_indices.size();
  return node.spec->options.scale ? 1 : 0;
}

inline ValueId parameter_at(const Node& node, std::size_t position) {
  return position < node.parameters.size() ? node.parameters[position] : kNone;
}

/// The rules both normalizations share: one value per channel in every parameter, epsilon above 0, shape
/// kept.
inline void infer_normalization(Node& node) {
  const Shape& x = node.input_shapes[0];
  if (x.size() < 2)
    shape_error(node, "input has no channels", "at least one dimension after batch", to_string(x));
  for (const Shape& parameter : node.parameter_shapes) {
    if (parameter != Shape{x.back()}) {
      shape_error(node, "parameter does not fit the input " + to_string(x), to_string({x.back()}),
                  to_string(parameter));
    }
  }
  const double epsilon = node.spec->options.epsilon;
  if (!(epsilon > 0)) argument_error(node, "epsilon", "a positive number", std::to_string(epsilon));
  node.attributes.epsilon = epsilon;
  node.shape = x;
}

}  // namespace lepton
