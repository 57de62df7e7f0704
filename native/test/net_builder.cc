#include "net_builder.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "graph/node.h"

namespace lepton::test {

NetBuilder::NetBuilder(std::string name, std::int64_t batch, InputsAre inputs_are) : inputs_are_(inputs_are) {
  std::vector<std::uint32_t> letters(name.begin(), name.end());
  std::seed_seq seed(letters.begin(), letters.end());
  random_.seed(seed);
  net_.name = std::move(name);
  net_.batch = batch;
}

std::int64_t NetBuilder::random_below(std::int64_t limit) {
  return static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(limit));
}

std::vector<double> NetBuilder::numbers(std::int64_t count, Numbers numbers) {
  std::vector<double> values(static_cast<std::size_t>(count));
  if (numbers == Numbers::kSpread) {
    // Half below zero, half above, 1/64 apart, none within 1/128 of zero, in random order.
    for (std::int64_t i = 0; i < count; ++i) {
      values[static_cast<std::size_t>(i)] = (static_cast<double>(i - count / 2) + 0.5) / 64;
    }
    for (std::size_t i = values.size(); i > 1; --i) {
      std::swap(values[i - 1], values[static_cast<std::size_t>(random_below(static_cast<std::int64_t>(i)))]);
    }
    return values;
  }
  std::normal_distribution<double> normal(0, 0.7);
  std::uniform_real_distribution<double> unit(0, 1);
  for (double& value : values) {
    const double drawn = numbers == Numbers::kNormal
                             ? normal(random_)
                             : unit(random_) + (numbers == Numbers::kPositive ? 0.5 : 0);
    value = static_cast<double>(static_cast<float>(drawn));
  }
  return values;
}

std::string NetBuilder::input(const Shape& shape, Numbers kind) {
  const std::string name = "x" + std::to_string(net_.graph.inputs.size());
  const std::vector<double> values = numbers(net_.batch * elements(shape), kind);
  if (inputs_are_ == InputsAre::kFed) {
    net_.graph.inputs.push_back({name, shape, DType::kFloat});
    net_.inputs.push_back(values);
    return name;
  }
  net_.graph.inputs.push_back({name + "_row", {}, DType::kInt32});
  std::vector<double> rows(static_cast<std::size_t>(net_.batch));
  std::iota(rows.begin(), rows.end(), 0.0);
  net_.inputs.push_back(rows);
  net_.graph.parameters.push_back({name, {net_.batch, elements(shape)}, true});
  net_.parameters.push_back(values);
  OperationOptions options;
  options.shape = shape;
  return node("reshape", {node("embedding", {name + "_row"}, {name})}, {}, options);
}

std::string NetBuilder::ids(const Shape& shape, std::int64_t limit) {
  const std::string name = "ids" + std::to_string(net_.graph.inputs.size());
  net_.graph.inputs.push_back({name, shape, DType::kInt32});
  std::vector<double> values(static_cast<std::size_t>(net_.batch * elements(shape)));
  for (double& value : values) value = static_cast<double>(random_below(limit));
  net_.inputs.push_back(values);
  return name;
}

std::string NetBuilder::parameter(const Shape& shape, Numbers kind, bool trainable) {
  const std::string name = "p" + std::to_string(net_.graph.parameters.size());
  net_.graph.parameters.push_back({name, shape, trainable});
  net_.parameters.push_back(numbers(elements(shape), kind));
  return name;
}

std::string NetBuilder::node(const std::string& op, std::vector<std::string> inputs,
                             std::vector<std::string> parameters, const OperationOptions& options) {
  const std::string name = op + std::to_string(net_.graph.nodes.size());
  net_.graph.nodes.push_back({op, name, std::move(inputs), std::move(parameters), options});
  return name;
}

Shape NetBuilder::shape_of(const std::string& name) const {
  GraphSpec graph = net_.graph;
  graph.outputs = {name};
  for (const Node& node : resolve(graph, net_.batch)) {
    if (node.spec->name == name) return node.shape;
  }
  return {};
}

void NetBuilder::add_output(const std::string& output) {
  const std::int64_t count = elements(shape_of(output));
  net_.graph.outputs.push_back(output);
  net_.losses.push_back({.output = output, .weight = static_cast<double>(count)});
  net_.targets.push_back(numbers(count, Numbers::kNormal));
}

OpCase NetBuilder::finish(const std::string& output) {
  add_output(output);
  return std::move(net_);
}

OpCase NetBuilder::finish(const std::vector<std::string>& outputs) {
  for (const std::string& output : outputs) add_output(output);
  return std::move(net_);
}

OpCase NetBuilder::finish(const std::string& output, LossSpec loss, std::vector<double> target) {
  net_.graph.outputs = {output};
  net_.losses = {std::move(loss)};
  net_.targets = {std::move(target)};
  return std::move(net_);
}

}  // namespace lepton::test
