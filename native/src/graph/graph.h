// The net as the caller describes it (native/graph.ts in C++): plain data, nothing checked, nothing computed.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "graph/program.h"

namespace lepton {

struct InputSpec {
  std::string name;
  Shape shape;  // without batch, as everywhere in this file
  DType type = DType::kFloat;
};

struct ParameterSpec {
  std::string name;
  Shape shape;
  bool trainable = true;
};

struct PaddingSpec {
  enum class Rule : std::uint8_t { kValid, kSame, kExplicit };
  Rule rule = Rule::kValid;
  std::array<std::int64_t, 4> sizes{0, 0, 0, 0};  // top, bottom, left, right; kExplicit only
};

/// Attributes of every operation, flat: an operation reads those that native/graph.ts gives it.
struct OperationOptions {
  std::array<std::int64_t, 2> pool_size{1, 1};
  std::array<std::int64_t, 2> strides{1, 1};
  std::array<std::int64_t, 2> dilation{1, 1};
  PaddingSpec padding;
  std::int64_t groups = 1;
  std::int64_t heads = 1;
  std::int64_t axis = -1;
  Shape shape;
  std::vector<std::int64_t> permutation;
  double momentum = 0.99;
  double epsilon = 1e-3;
  double rate = 0;
  double negative_slope = 0.3;
  double alpha = 1;
  bool scale = true;
  bool center = true;
  bool approximate = false;
  bool causal = false;
};

struct NodeSpec {
  std::string op;
  std::string name;
  std::vector<std::string> inputs;
  std::vector<std::string> parameters;
  OperationOptions options;
};

struct GraphSpec {
  std::vector<InputSpec> inputs;
  std::vector<ParameterSpec> parameters;
  std::vector<NodeSpec> nodes;
  std::vector<std::string> outputs;
};

struct LossSpec {
  std::string output;
  LossKind loss = LossKind::kMeanSquaredError;
  bool from_logits = false;
  double delta = 1;
  double label_smoothing = 0;
  double weight = 1;
};

}  // namespace lepton
