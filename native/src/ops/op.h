// What an operation of the net means: its shape rule and which instructions forward and backward are made of.
// No numbers are computed here; src/reference holds the plain float64 version of every instruction.
#pragma once

#include <limits>
#include <string_view>

#include "graph/builder.h"
#include "graph/node.h"

namespace lepton {

/// What most_inputs answers when there is no limit.
inline constexpr std::size_t kAnyNumber = std::numeric_limits<std::size_t>::max();

class Op {
 public:
  virtual ~Op() = default;
  virtual std::string_view name() const = 0;
  virtual DType input_type() const { return DType::kFloat; }
  /// How many inputs it takes. Most operations take one.
  virtual std::size_t fewest_inputs() const { return 1; }
  virtual std::size_t most_inputs() const { return 1; }
  /// How many parameters; the shape rule of the operation checks their shapes.
  virtual std::size_t fewest_parameters(const NodeSpec&) const { return 0; }
  virtual std::size_t most_parameters(const NodeSpec&) const { return 0; }
  /// Sets node.shape and the instruction's attributes. Throws ENGINE_SHAPE or ENGINE_ARGUMENT.
  virtual void infer(Node& node) const = 0;
  /// Emits the instructions and sets node.output (and node.saved).
  virtual void forward(Builder& builder, Node& node) const = 0;
  /// Emits the gradients of the inputs that need one and of the trainable parameters, given that of the
  /// output.
  virtual void backward(Builder& builder, const Node& node, ValueId dy) const = 0;
};

/// Null for a name that is not an operation.
const Op* find_op(std::string_view name);
/// All names, separated by commas: for messages.
std::string op_names();

}  // namespace lepton
