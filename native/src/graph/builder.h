// Writes a Program: values, instructions in order, gradients that meet. Operations call it; it knows none of
// them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"
#include "graph/layout.h"
#include "graph/node.h"
#include "graph/program.h"

namespace lepton {

/// What a program is for: forward, losses and gradients; forward in inference mode with losses; forward
/// alone.
enum class Mode : std::uint8_t { kTrain, kEvaluate, kPredict };

class Builder {
 public:
  Builder(const GraphSpec& graph, const ArenaLayout& layout, Mode mode, std::int64_t batch);

  bool training() const { return mode_ == Mode::kTrain; }
  const Value& value(ValueId id) const { return program_.values[static_cast<std::size_t>(id)]; }

  // Values
  ValueId temporary(Shape shape, const std::string& name, DType type = DType::kFloat);
  ValueId input(std::size_t index);
  ValueId target(std::size_t index, Shape shape, DType type);
  ValueId loss(std::size_t index);
  ValueId parameter(std::size_t index);
  /// Where a training step writes the next value of a state parameter.
  ValueId new_state(std::size_t index);

  // Instructions
  void emit(Kind kind, std::vector<ValueId> inputs, std::vector<ValueId> outputs,
            const Attributes& attributes, const std::string& node);
  void emit(Kind kind, std::vector<ValueId> inputs, std::vector<ValueId> outputs, const Node& node);
  /// The common case: one result of the node's shape, which becomes its output.
  void emit_output(Kind kind, std::vector<ValueId> inputs, Node& node);

  // Gradients
  /// True when a trainable parameter lies at or before this value, so that its gradient is worth computing.
  bool needs_gradient(ValueId id) const { return needs_gradient_[static_cast<std::size_t>(id)]; }
  void set_needs_gradient(ValueId id) { needs_gradient_[static_cast<std::size_t>(id)] = true; }
  bool trainable(std::size_t parameter) const { return graph_.parameters[parameter].trainable; }
  /// A fresh value for the gradient of `of`, noted as a contribution to it. kNone when none is needed.
  ValueId input_gradient(ValueId of);
  /// Notes an existing value as a contribution to the gradient of `of`.
  void add_gradient(ValueId of, ValueId gradient);
  /// Where a node writes the gradient of a parameter. kNone when it is frozen or absent (index past the end).
  ValueId parameter_gradient(const Node& node, std::size_t position);
  /// The sum of all contributions so far, kNone when there are none.
  ValueId gradient(ValueId of, const std::string& node);

  /// Names value `id` as graph output `index`, or a copy of it where it cannot be one itself.
  void set_output(std::size_t index, ValueId id);
  /// Counts a use of a parameter by a live node: a parameter with several uses gets its gradients summed.
  void count_use(std::size_t parameter) { ++uses_[parameter]; }
  Program finish();

 private:
  ValueId add(Value value);
  void sum_shared_gradients();
  void fill_ready_from();

  const GraphSpec& graph_;
  const ArenaLayout& layout_;
  Mode mode_;
  Program program_;
  std::vector<bool> needs_gradient_;                    // by value
  std::vector<std::vector<ValueId>> contributions_;     // by value
  std::vector<ValueId> inputs_, parameters_;            // by graph index
  std::vector<int> uses_;                               // by parameter
  std::vector<std::vector<ValueId>> shared_gradients_;  // by parameter
  std::vector<const ArenaEntry*> entries_;              // by parameter
};

}  // namespace lepton
