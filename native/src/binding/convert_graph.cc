// Graphs and losses: from JavaScript objects to the engine's specifications.
#include <map>

#include "binding/convert.h"
#include "binding/values.h"

namespace lepton::binding {
namespace {

PaddingSpec padding_of(const Napi::Value& value, const std::string& where) {
  PaddingSpec padding;
  if (value.IsString()) {
    const std::string rule = text_of(value, where);
    if (rule != "valid" && rule != "same") refuse(where, "valid, same or [[top, bottom], [left, right]]");
    padding.rule = rule == "same" ? PaddingSpec::Rule::kSame : PaddingSpec::Rule::kValid;
    return padding;
  }
  padding.rule = PaddingSpec::Rule::kExplicit;
  std::size_t next = 0;
  for_items(value, where, [&](const Napi::Value& item, const std::string& path) {
    const auto pair = pair_of(item, path);
    if (next < 4) {
      padding.sizes[next] = pair[0];
      padding.sizes[next + 1] = pair[1];
    }
    next += 2;
  });
  if (next != 4) refuse(where, "[[top, bottom], [left, right]]");
  return padding;
}

OperationOptions options_of(const Napi::Object& node, const std::string& where) {
  OperationOptions options;
  read_into(options.pool_size, node, "poolSize", where, pair_of);
  read_into(options.strides, node, "strides", where, pair_of);
  read_into(options.dilation, node, "dilation", where, pair_of);
  read_into(options.padding, node, "padding", where, padding_of);
  read_into(options.shape, node, "shape", where, wholes_of);
  read_into(options.permutation, node, "permutation", where, wholes_of);
  const auto whole = [](const Napi::Value& value, const std::string& path) {
    return whole_of(value, path, -kLargest, kLargest);
  };
  read_into(options.groups, node, "groups", where, whole);
  read_into(options.heads, node, "heads", where, whole);
  read_into(options.axis, node, "axis", where, whole);
  read_into(options.momentum, node, "momentum", where, number_of);
  read_into(options.epsilon, node, "epsilon", where, number_of);
  read_into(options.rate, node, "rate", where, number_of);
  read_into(options.negative_slope, node, "negativeSlope", where, number_of);
  read_into(options.alpha, node, "alpha", where, number_of);
  read_into(options.scale, node, "scale", where, flag_of);
  read_into(options.center, node, "center", where, flag_of);
  read_into(options.approximate, node, "approximate", where, flag_of);
  read_into(options.causal, node, "causal", where, flag_of);
  return options;
}

NodeSpec node_of(const Napi::Value& value, const std::string& where) {
  const Napi::Object node = object_of(value, where);
  NodeSpec spec;
  spec.op = text_of(node.Get("op"), where + ".op");
  spec.name = text_of(node.Get("name"), where + ".name");
  spec.inputs = texts_of(node.Get("inputs"), where + ".inputs");
  read_into(spec.parameters, node, "parameters", where, texts_of);
  spec.options = options_of(node, where);
  return spec;
}

InputSpec input_of(const Napi::Value& value, const std::string& where) {
  const Napi::Object input = object_of(value, where);
  InputSpec spec;
  spec.name = text_of(input.Get("name"), where + ".name");
  spec.shape = wholes_of(input.Get("shape"), where + ".shape");
  const std::string type = text_of(input.Get("type"), where + ".type");
  if (type != "float32" && type != "int32") refuse(where + ".type", "float32 or int32");
  spec.type = type == "int32" ? DType::kInt32 : DType::kFloat;
  return spec;
}

LossSpec loss_of(const Napi::Value& value, const std::string& where) {
  static const std::map<std::string, LossKind> kKinds = {
      {"categoricalCrossentropy", LossKind::kCategoricalCrossentropy},
      {"sparseCategoricalCrossentropy", LossKind::kSparseCategoricalCrossentropy},
      {"binaryCrossentropy", LossKind::kBinaryCrossentropy},
      {"meanSquaredError", LossKind::kMeanSquaredError},
      {"meanAbsoluteError", LossKind::kMeanAbsoluteError},
      {"huber", LossKind::kHuber},
  };
  const Napi::Object loss = object_of(value, where);
  LossSpec spec;
  spec.output = text_of(loss.Get("output"), where + ".output");
  const auto kind = kKinds.find(text_of(loss.Get("loss"), where + ".loss"));
  if (kind == kKinds.end()) refuse(where + ".loss", "the name of a loss");
  spec.loss = kind->second;
  read_into(spec.from_logits, loss, "fromLogits", where, flag_of);
  read_into(spec.delta, loss, "delta", where, number_of);
  read_into(spec.label_smoothing, loss, "labelSmoothing", where, number_of);
  read_into(spec.weight, loss, "weight", where, number_of);
  return spec;
}

}  // namespace

std::vector<ParameterSpec> parameters_of(const Napi::Value& value, const std::string& where) {
  std::vector<ParameterSpec> parameters;
  for_items(value, where, [&](const Napi::Value& item, const std::string& path) {
    const Napi::Object parameter = object_of(item, path);
    parameters.push_back({text_of(parameter.Get("name"), path + ".name"),
                          wholes_of(parameter.Get("shape"), path + ".shape"),
                          flag_of(parameter.Get("trainable"), path + ".trainable")});
  });
  return parameters;
}

GraphSpec graph_of(const Napi::Value& value) {
  const Napi::Object object = object_of(value, "graph");
  GraphSpec graph;
  for_items(object.Get("inputs"), "graph.inputs", [&](const Napi::Value& item, const std::string& path) {
    graph.inputs.push_back(input_of(item, path));
  });
  graph.parameters = parameters_of(object.Get("parameters"), "graph.parameters");
  for_items(object.Get("nodes"), "graph.nodes", [&](const Napi::Value& item, const std::string& path) {
    graph.nodes.push_back(node_of(item, path));
  });
  graph.outputs = texts_of(object.Get("outputs"), "graph.outputs");
  return graph;
}

std::vector<LossSpec> losses_of(const Napi::Value& value) {
  std::vector<LossSpec> losses;
  for_items(value, "losses",
            [&](const Napi::Value& item, const std::string& path) { losses.push_back(loss_of(item, path)); });
  return losses;
}

}  // namespace lepton::binding
