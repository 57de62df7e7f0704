#include "graph/compile.h"

#include <algorithm>
#include <limits>
#include <string>

#include "graph/error.h"
#include "graph/node.h"
#include "ops/loss.h"
#include "ops/op.h"

namespace lepton {
namespace {

Shape without_batch(const Shape& shape) { return {shape.begin() + 1, shape.end()}; }

// Position of a name among graph inputs (first) and nodes (after them). resolve() has checked that it exists.
std::size_t source_of(const GraphSpec& graph, const std::string& name) {
  for (std::size_t i = 0; i < graph.inputs.size(); ++i) {
    if (graph.inputs[i].name == name) return i;
  }
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (graph.nodes[i].name == name) return graph.inputs.size() + i;
  }
  throw EngineError("ENGINE_INTERNAL", "graph: unknown name '" + name + "'");
}

class Compiler {
 public:
  Compiler(const GraphSpec& graph, const ArenaLayout& layout, const std::vector<LossSpec>& losses, Mode mode,
           std::int64_t batch)
      : graph_(graph), losses_(losses), nodes_(resolve(graph, batch)), builder_(graph, layout, mode, batch) {}

  Program run(Mode mode) {
    mark_live();
    forward();
    if (mode != Mode::kPredict) compute_losses();
    if (mode == Mode::kTrain) backward();
    for (std::size_t i = 0; i < graph_.outputs.size(); ++i) {
      builder_.set_output(i, value_of(source_of(graph_, graph_.outputs[i])));
    }
    return builder_.finish();
  }

 private:
  ValueId value_of(std::size_t source) {
    if (source < graph_.inputs.size()) return builder_.input(source);
    return nodes_[source - graph_.inputs.size()].output;
  }

  void mark_live() {
    live_.assign(nodes_.size(), false);
    std::vector<std::size_t> open;
    for (const std::string& output : graph_.outputs) open.push_back(source_of(graph_, output));
    while (!open.empty()) {
      const std::size_t source = open.back();
      open.pop_back();
      if (source < graph_.inputs.size() || live_[source - graph_.inputs.size()]) continue;
      const Node& node = nodes_[source - graph_.inputs.size()];
      live_[source - graph_.inputs.size()] = true;
      open.insert(open.end(), node.sources.begin(), node.sources.end());
    }
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (!live_[i]) continue;
      for (const std::size_t parameter : nodes_[i].parameter_indices) builder_.count_use(parameter);
    }
  }

  void forward() {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      Node& node = nodes_[i];
      if (!live_[i]) continue;
      bool learns = false;
      for (const std::size_t source : node.sources) node.inputs.push_back(value_of(source));
      for (const std::size_t parameter : node.parameter_indices) {
        node.parameters.push_back(builder_.parameter(parameter));
        learns = learns || builder_.trainable(parameter);
      }
      for (const ValueId input : node.inputs) learns = learns || builder_.needs_gradient(input);
      node.op->forward(builder_, node);
      if (learns && builder_.training()) builder_.set_needs_gradient(node.output);
    }
  }

  // What a loss reads: the output, or the logits before it where softmax or sigmoid can be differentiated
  // with it.
  LossNode loss_node(std::size_t index) {
    const LossSpec& loss = losses_[index];
    const std::size_t source = source_of(graph_, loss.output);
    LossNode result = make_loss(loss, builder_.value(value_of(source)).shape, builder_, index);
    result.prediction = value_of(source);
    if (source >= graph_.inputs.size()) {
      const Node& node = nodes_[source - graph_.inputs.size()];
      if (folds_into(loss, node.spec->op)) {
        result.prediction = node.inputs.front();
        result.attributes.from = LossFrom::kLogits;
      }
    }
    return result;
  }

  void compute_losses() {
    for (std::size_t i = 0; i < losses_.size(); ++i) {
      loss_nodes_.push_back(loss_node(i));
      const LossNode& node = loss_nodes_.back();
      builder_.emit(Kind::kLoss, {node.prediction, node.target}, {builder_.loss(i)}, node.attributes,
                    node.name);
    }
  }

  void backward() {
    for (const LossNode& node : loss_nodes_) {
      const ValueId gradient = builder_.input_gradient(node.prediction);
      if (gradient == kNone) continue;
      builder_.emit(Kind::kLossBackward, {node.prediction, node.target}, {gradient}, node.attributes,
                    node.name);
    }
    for (std::size_t i = nodes_.size(); i-- > 0;) {
      const Node& node = nodes_[i];
      // A node whose output is its input (dropout of rate 0) has no gradient of its own.
      if (!live_[i] || node.output == node.inputs.front() || !builder_.needs_gradient(node.output)) continue;
      const ValueId dy = builder_.gradient(node.output, node.spec->name);
      if (dy != kNone) node.op->backward(builder_, node, dy);
    }
  }

  const GraphSpec& graph_;
  const std::vector<LossSpec>& losses_;
  std::vector<Node> nodes_;
  std::vector<bool> live_;
  std::vector<LossNode> loss_nodes_;
  Builder builder_;
};

}  // namespace

Program compile(const GraphSpec& graph, const ArenaLayout& layout, const std::vector<LossSpec>& losses,
                Mode mode, std::int64_t batch) {
  return Compiler(graph, layout, losses, mode, batch).run(mode);
}

Signature signature(const GraphSpec& graph, const std::vector<LossSpec>& losses) {
  const std::vector<Node> nodes = resolve(graph, 1);
  Signature result;
  const auto shape_of = [&](const std::string& name) {
    const std::size_t source = source_of(graph, name);
    return source < graph.inputs.size() ? graph.inputs[source].shape
                                        : without_batch(nodes[source - graph.inputs.size()].shape);
  };
  for (const std::string& output : graph.outputs) result.outputs.push_back(shape_of(output));
  for (const LossSpec& loss : losses) {
    if (std::find(graph.outputs.begin(), graph.outputs.end(), loss.output) == graph.outputs.end()) {
      throw EngineError("ENGINE_ARGUMENT",
                        "loss on '" + loss.output + "': expected the name of a graph output");
    }
    const Shape shape = shape_of(loss.output);
    check_loss(loss, shape);
    const bool sparse = loss.loss == LossKind::kSparseCategoricalCrossentropy;
    result.targets.push_back(
        {target_shape(loss, shape), sparse ? DType::kInt32 : DType::kFloat, sparse ? shape.back() : 0});
  }
  constexpr std::int64_t kUnlimited = std::numeric_limits<std::int32_t>::max();
  for (const InputSpec& input : graph.inputs) {
    result.index_limits.push_back(input.type == DType::kInt32 ? kUnlimited : 0);
  }
  for (const Node& node : nodes) {
    if (node.op->input_type() != DType::kInt32) continue;
    std::int64_t& limit = result.index_limits[node.sources.front()];
    limit = std::min(limit, node.parameter_shapes.front().front());
  }
  return result;
}

}  // namespace lepton
