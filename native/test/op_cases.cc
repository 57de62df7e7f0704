#include "op_cases.h"

#include <functional>
#include <utility>

#include "net_builder.h"

namespace lepton::test {
namespace {

using Options = OperationOptions;
using Cases = std::vector<OpCase>;
using Pair = std::array<std::int64_t, 2>;

PaddingSpec valid() { return {}; }
PaddingSpec same() { return {PaddingSpec::Rule::kSame, {}}; }
PaddingSpec around(std::int64_t top, std::int64_t bottom, std::int64_t left, std::int64_t right) {
  return {PaddingSpec::Rule::kExplicit, {top, bottom, left, right}};
}

void dense_cases(Cases& cases, InputsAre inputs) {
  struct Row {
    const char* name;
    std::int64_t batch;
    Shape x;
    std::int64_t units;
    bool bias;
  };
  for (const Row& row : {Row{"dense", 3, {5}, 4, true}, Row{"dense_no_bias", 3, {7}, 3, false},
                         Row{"dense_batch_1", 1, {5}, 3, true}, Row{"dense_one_unit", 4, {6}, 1, true},
                         Row{"dense_sequence", 2, {3, 5}, 4, true}, Row{"dense_wide", 5, {33}, 17, true},
                         Row{"dense_image", 2, {2, 3, 5}, 4, false}}) {
    NetBuilder net(row.name, row.batch, inputs);
    const std::string x = net.input(row.x);
    std::vector<std::string> parameters{net.parameter({row.x.back(), row.units})};
    if (row.bias) parameters.push_back(net.parameter({row.units}));
    cases.push_back(net.finish(net.node("dense", {x}, parameters)));
  }
  NetBuilder frozen("dense_frozen_kernel", 3, inputs);
  const std::string x = frozen.input({4});
  const std::string kernel = frozen.parameter({4, 3}, Numbers::kNormal, false);
  cases.push_back(frozen.finish(frozen.node("dense", {x}, {kernel, frozen.parameter({3})})));
}

struct ConvRow {
  const char* name;
  std::int64_t batch;
  Shape x;
  Shape kernel;
  Pair strides{1, 1};
  PaddingSpec padding{};
  Pair dilation{1, 1};
  std::int64_t groups = 1;
  bool bias = true;
};

void conv_cases(Cases& cases, InputsAre inputs) {
  const std::vector<ConvRow> rows = {
      {"conv_valid", 2, {5, 6, 3}, {3, 3, 3, 4}},
      {"conv_no_bias", 2, {5, 5, 3}, {3, 3, 3, 4}, {1, 1}, valid(), {1, 1}, 1, false},
      {"conv_batch_1", 1, {5, 5, 1}, {3, 3, 1, 5}},
      {"conv_1x1", 2, {4, 3, 5}, {1, 1, 5, 7}},
      {"conv_1x1_strided", 2, {5, 5, 3}, {1, 1, 3, 4}, {2, 2}},
      {"conv_same", 2, {5, 6, 3}, {3, 3, 3, 2}, {1, 1}, same()},
      {"conv_same_even_kernel", 2, {5, 6, 2}, {2, 4, 2, 3}, {1, 1}, same()},
      {"conv_same_stride_2", 2, {6, 7, 3}, {3, 3, 3, 2}, {2, 2}, same()},
      {"conv_same_stride_over_kernel", 2, {7, 7, 2}, {2, 2, 2, 3}, {3, 3}, same()},
      {"conv_strides_differ", 2, {7, 8, 2}, {3, 2, 2, 3}, {2, 3}},
      {"conv_explicit_padding", 2, {4, 5, 2}, {3, 3, 2, 3}, {1, 1}, around(1, 2, 0, 1)},
      {"conv_explicit_padding_strided", 2, {5, 5, 2}, {4, 3, 2, 3}, {2, 2}, around(3, 0, 2, 1)},
      {"conv_dilated", 2, {7, 8, 2}, {3, 2, 2, 3}, {1, 1}, valid(), {2, 3}},
      {"conv_dilated_same", 2, {6, 5, 2}, {3, 3, 2, 3}, {1, 1}, same(), {2, 2}},
      {"conv_dilated_strided", 2, {9, 9, 2}, {3, 3, 2, 3}, {2, 2}, around(1, 1, 2, 0), {2, 2}},
      {"conv_groups", 2, {5, 4, 6}, {3, 3, 2, 9}, {1, 1}, same(), {1, 1}, 3},
      {"conv_groups_strided", 2, {6, 5, 4}, {3, 3, 2, 6}, {2, 1}, same(), {1, 1}, 2, false},
      {"conv_depthwise", 2, {5, 5, 5}, {3, 3, 1, 5}, {1, 1}, same(), {1, 1}, 5},
      {"conv_depthwise_strided", 2, {6, 6, 4}, {3, 3, 1, 4}, {2, 2}, same(), {1, 1}, 4},
      {"conv_depthwise_multiplier", 2, {5, 4, 3}, {3, 2, 1, 6}, {1, 1}, valid(), {1, 1}, 3},
      {"conv_depthwise_dilated", 1, {6, 7, 3}, {3, 3, 1, 3}, {1, 1}, same(), {2, 2}, 3},
      {"conv_whole_image", 2, {3, 4, 3}, {3, 4, 3, 5}},
      {"conv_odd_channels", 3, {4, 4, 17}, {3, 3, 17, 19}, {1, 1}, same()},
  };
  for (const ConvRow& row : rows) {
    NetBuilder net(row.name, row.batch, inputs);
    const std::string x = net.input(row.x);
    std::vector<std::string> parameters{net.parameter(row.kernel)};
    if (row.bias) parameters.push_back(net.parameter({row.kernel[3]}));
    Options options;
    options.strides = row.strides;
    options.padding = row.padding;
    options.dilation = row.dilation;
    options.groups = row.groups;
    cases.push_back(net.finish(net.node("conv2d", {x}, parameters, options)));
  }
}

void pooling_cases(Cases& cases, InputsAre inputs) {
  struct Row {
    const char* name;
    std::int64_t batch;
    Shape x;
    Pair pool;
    Pair strides;
    PaddingSpec padding;
  };
  const std::vector<Row> rows = {
      {"2x2", 2, {4, 6, 3}, {2, 2}, {2, 2}, valid()},
      {"cropped", 2, {5, 7, 3}, {2, 2}, {2, 2}, valid()},
      {"overlapping", 2, {5, 6, 2}, {3, 3}, {1, 2}, valid()},
      {"same", 2, {5, 5, 3}, {2, 2}, {2, 2}, same()},
      {"same_overlapping", 2, {5, 4, 5}, {3, 3}, {2, 2}, same()},
      {"explicit_padding", 1, {4, 5, 2}, {3, 3}, {2, 2}, around(1, 2, 0, 1)},
      {"sparse", 2, {7, 7, 2}, {2, 2}, {3, 3}, valid()},
      {"batch_1", 1, {4, 4, 1}, {2, 2}, {2, 2}, valid()},
      {"odd_channels", 3, {4, 4, 17}, {2, 2}, {2, 2}, valid()},
  };
  for (const std::string op : {"maxPooling2d", "averagePooling2d"}) {
    for (const Row& row : rows) {
      NetBuilder net(op + "_" + row.name, row.batch, inputs);
      Options options;
      options.pool_size = row.pool;
      options.strides = row.strides;
      options.padding = row.padding;
      cases.push_back(net.finish(net.node(op, {net.input(row.x, Numbers::kSpread)}, {}, options)));
    }
  }
  for (const auto& [name, x] : {std::pair<const char*, Shape>{"globalAveragePooling2d", {3, 5, 7}},
                                {"globalAveragePooling2d_pixel", {1, 1, 3}}}) {
    NetBuilder net(name, 2, inputs);
    cases.push_back(net.finish(net.node("globalAveragePooling2d", {net.input(x)})));
  }
}

void normalization_cases(Cases& cases, InputsAre inputs) {
  struct Row {
    const char* name;
    std::int64_t batch;
    Shape x;
  };
  const std::vector<Row> rows = {{"image", 3, {3, 2, 5}},
                                 {"vector", 6, {7}},
                                 {"sequence", 2, {3, 4}},
                                 {"odd_channels", 2, {3, 3, 17}},
                                 {"batch_1", 1, {3, 4, 3}}};
  for (const std::string op : {"batchNormalization", "layerNormalization"}) {
    for (const Row& row : rows) {
      for (const auto& [scale, center] :
           {std::pair{true, true}, {true, false}, {false, true}, {false, false}}) {
        if ((!scale || !center) && std::string(row.name) != "image") continue;
        std::string name = op + "_" + row.name + (scale ? "" : "_no_scale") + (center ? "" : "_no_center");
        NetBuilder net(name, row.batch, inputs);
        const std::string x = net.input(row.x);
        Options options;
        options.scale = scale;
        options.center = center;
        options.momentum = 0.9;
        options.epsilon = op == "batchNormalization" ? 1e-3 : 1e-2;
        std::vector<std::string> parameters;
        if (scale) parameters.push_back(net.parameter({row.x.back()}, Numbers::kPositive));
        if (center) parameters.push_back(net.parameter({row.x.back()}));
        if (op == "batchNormalization") {
          parameters.push_back(net.parameter({row.x.back()}, Numbers::kNormal, false));
          parameters.push_back(net.parameter({row.x.back()}, Numbers::kPositive, false));
        }
        cases.push_back(net.finish(net.node(op, {x}, parameters, options)));
      }
    }
  }
}

void activation_cases(Cases& cases, InputsAre inputs) {
  std::vector<std::pair<std::string, Options>> rows;
  for (const char* op : {"relu", "sigmoid", "tanh", "softmax", "gelu", "elu", "leakyRelu"})
    rows.push_back({op, {}});
  Options options;
  options.approximate = true;
  rows.push_back({"gelu", options});
  options.alpha = 0.5;
  rows.push_back({"elu", options});
  options.negative_slope = 0.1;
  rows.push_back({"leakyRelu", options});
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (const auto& [batch, x] : {std::pair<std::int64_t, Shape>{3, {2, 3, 5}}, {1, {37}}}) {
      NetBuilder net(rows[i].first + "_" + std::to_string(i) + "_batch_" + std::to_string(batch), batch,
                     inputs);
      cases.push_back(
          net.finish(net.node(rows[i].first, {net.input(x, Numbers::kSpread)}, {}, rows[i].second)));
    }
  }
}

void dropout_cases(Cases& cases, InputsAre inputs) {
  for (const auto& [name, rate] :
       {std::pair{"dropout", 0.5}, {"dropout_little", 0.1}, {"dropout_none", 0.0}}) {
    NetBuilder net(name, 3, inputs);
    const std::string x = net.input({3, 3, 5});
    Options options;
    options.rate = rate;
    cases.push_back(net.finish(net.node("dropout", {x}, {}, options)));
  }
  // After a convolution, whose output a device may keep in a layout of its own: the mask must not notice.
  NetBuilder net("dropout_after_conv", 2, inputs);
  Options options;
  options.rate = 0.4;
  const std::string x = net.input({4, 4, 3});
  const std::string y = net.node("conv2d", {x}, {net.parameter({3, 3, 3, 16}), net.parameter({16})});
  cases.push_back(net.finish(net.node("dropout", {y}, {}, options)));
}

void embedding_cases(Cases& cases, InputsAre inputs) {
  for (const auto& [name, shape] : {std::pair<const char*, Shape>{"embedding", {7}},
                                    {"embedding_scalar", {}},
                                    {"embedding_grid", {2, 3}}}) {
    NetBuilder net(name, 3, inputs);
    const std::string ids = net.ids(shape, 5);
    cases.push_back(net.finish(net.node("embedding", {ids}, {net.parameter({6, 4})})));
  }
}

void position_embedding_cases(Cases& cases, InputsAre inputs) {
  for (const auto& [name, positions] : {std::pair{"position_embedding", 5}, {"position_embedding_long", 8}}) {
    NetBuilder net(name, 3, inputs);
    const std::string x = net.input({5, 7});
    const std::string table = net.parameter({positions, 7});
    cases.push_back(net.finish(net.node("positionEmbedding", {x}, {table})));
  }
}

/// Queries before keys: (queries, keys), widths of all heads together.
struct AttentionRow {
  const char* name;
  std::int64_t batch, queries, keys, width, value_width, heads;
  bool causal = false;
};

void attention_cases(Cases& cases, InputsAre inputs) {
  const std::vector<AttentionRow> rows = {
      {"attention", 2, 5, 5, 6, 6, 2},
      {"attention_one_head", 1, 4, 4, 7, 7, 1},
      {"attention_one_query", 2, 1, 3, 4, 4, 2},
      {"attention_one_key", 2, 3, 1, 4, 4, 2},
      {"attention_cross", 2, 3, 7, 6, 4, 2},
      {"attention_causal", 2, 9, 9, 4, 4, 2, true},
      {"attention_causal_more_queries", 1, 6, 3, 4, 4, 2, true},
      {"attention_causal_more_keys", 1, 3, 6, 4, 4, 2, true},
      {"attention_full_lanes", 1, 18, 33, 34, 48, 2},
      // Past one block of queries.
      {"attention_blocks", 1, 70, 17, 3, 2, 1},
      {"attention_causal_blocks", 1, 67, 67, 3, 2, 1, true},
  };
  for (const AttentionRow& row : rows) {
    NetBuilder net(row.name, row.batch, inputs);
    Options options;
    options.heads = row.heads;
    options.causal = row.causal;
    const std::string query = net.input({row.queries, row.width});
    const std::string key = net.input({row.keys, row.width});
    const std::string value = net.input({row.keys, row.value_width});
    cases.push_back(net.finish(net.node("attention", {query, key, value}, {}, options)));
  }
  NetBuilder self("attention_to_itself", 2, inputs);
  Options options;
  options.heads = 3;
  const std::string x = self.input({4, 6});
  cases.push_back(self.finish(self.node("attention", {x, x, x}, {}, options)));
  // One projection that learns: the gradients of the other two are left out.
  for (const std::size_t learned : {0, 1, 2}) {
    NetBuilder net("attention_learned_input_" + std::to_string(learned), 2, InputsAre::kFed);
    std::vector<std::string> parts{net.input({4, 6}), net.input({4, 6}), net.input({4, 6})};
    parts[learned] = net.node("dense", {parts[learned]}, {net.parameter({6, 6})});
    cases.push_back(net.finish(net.node("attention", parts, {}, options)));
  }
}

void shape_cases(Cases& cases, InputsAre inputs) {
  NetBuilder flatten("flatten", 2, inputs);
  cases.push_back(flatten.finish(flatten.node("flatten", {flatten.input({2, 3, 4})})));
  NetBuilder reshape("reshape", 3, inputs);
  Options options;
  options.shape = {4, 3};
  cases.push_back(reshape.finish(reshape.node("reshape", {reshape.input({2, 6})}, {}, options)));
  // The order of elements after a convolution is that of channels-last, whatever the device's layout.
  NetBuilder after("flatten_after_conv", 2, inputs);
  const std::string x = after.input({4, 4, 3});
  const std::string conv = after.node("conv2d", {x}, {after.parameter({3, 3, 3, 16})});
  const std::string flat = after.node("flatten", {after.node("relu", {conv})});
  cases.push_back(after.finish(after.node("dense", {flat}, {after.parameter({64, 3})})));
  struct Row {
    const char* name;
    Shape x;
    std::vector<std::int64_t> permutation;
  };
  for (const Row& row :
       {Row{"transpose_2", {3, 4}, {1, 0}}, Row{"transpose_3", {2, 3, 4}, {2, 0, 1}},
        Row{"transpose_same", {2, 3}, {0, 1}}, Row{"transpose_4", {2, 3, 2, 2}, {3, 1, 0, 2}}}) {
    NetBuilder net(row.name, 2, inputs);
    options.permutation = row.permutation;
    cases.push_back(net.finish(net.node("transpose", {net.input(row.x)}, {}, options)));
  }
}

void joining_cases(Cases& cases, InputsAre inputs) {
  for (const std::string op : {"add", "multiply"}) {
    for (const std::size_t count : {2, 3}) {
      NetBuilder net(op + "_" + std::to_string(count), 2, inputs);
      std::vector<std::string> parts;
      for (std::size_t i = 0; i < count; ++i) parts.push_back(net.input({3, 2, 5}));
      cases.push_back(net.finish(net.node(op, parts)));
    }
    NetBuilder twice(op + "_with_itself", 2, inputs);
    const std::string x = twice.input({7});
    cases.push_back(twice.finish(twice.node(op, {x, x})));
  }
  struct Row {
    const char* name;
    std::vector<Shape> parts;
    std::int64_t axis;
  };
  for (const Row& row :
       {Row{"concat_channels", {{2, 3, 4}, {2, 3, 1}, {2, 3, 5}}, -1},
        Row{"concat_height", {{2, 3, 4}, {1, 3, 4}}, 0}, Row{"concat_vectors", {{3}, {4}}, 0},
        Row{"concat_width", {{2, 3, 4}, {2, 2, 4}}, -2}}) {
    NetBuilder net(row.name, 2, inputs);
    std::vector<std::string> parts;
    for (const Shape& part : row.parts) parts.push_back(net.input(part));
    Options options;
    options.axis = row.axis;
    cases.push_back(net.finish(net.node("concat", parts, {}, options)));
  }
}

std::vector<double> one_hot(NetBuilder& net, std::int64_t rows, std::int64_t classes) {
  std::vector<double> target(static_cast<std::size_t>(rows * classes), 0.0);
  for (std::int64_t r = 0; r < rows; ++r)
    target[static_cast<std::size_t>(r * classes + net.random_below(classes))] = 1;
  return target;
}

// Cross-entropies three ways: from logits, from probabilities that are fed, and after a softmax or sigmoid.
void cross_entropy_cases(Cases& cases, InputsAre inputs) {
  for (const LossKind kind : {LossKind::kCategoricalCrossentropy, LossKind::kSparseCategoricalCrossentropy,
                              LossKind::kBinaryCrossentropy}) {
    for (const std::string from : {"logits", "probabilities", "folded"}) {
      for (const double smoothing : {0.0, 0.1}) {
        const bool sparse = kind == LossKind::kSparseCategoricalCrossentropy;
        const bool binary = kind == LossKind::kBinaryCrossentropy;
        if (sparse && smoothing > 0) continue;
        const std::string name = binary ? "binary" : sparse ? "sparse" : "categorical";
        NetBuilder net(name + "_crossentropy_" + from + (smoothing > 0 ? "_smoothed" : ""), 3, inputs);
        std::string y = net.input({2, 5}, from == "probabilities" ? Numbers::kUnit : Numbers::kNormal);
        if (from == "folded") y = net.node(binary ? "sigmoid" : "softmax", {y});
        if (from != "folded")
          y = net.node("reshape", {y}, {}, [] {
            Options o;
            o.shape = {2, 5};
            return o;
          }());
        std::vector<double> target = binary ? net.numbers(30, Numbers::kUnit) : one_hot(net, 6, 5);
        if (sparse) {
          target.resize(6);
          for (double& t : target) t = static_cast<double>(net.random_below(5));
        }
        LossSpec loss{.output = y,
                      .loss = kind,
                      .from_logits = from == "logits",
                      .label_smoothing = smoothing,
                      .weight = 6};
        cases.push_back(net.finish(y, loss, target));
      }
    }
  }
}

void regression_cases(Cases& cases, InputsAre inputs) {
  for (const auto& [name, kind, delta] : {std::tuple{"mean_squared_error", LossKind::kMeanSquaredError, 1.0},
                                          {"mean_absolute_error", LossKind::kMeanAbsoluteError, 1.0},
                                          {"huber", LossKind::kHuber, 1.0},
                                          {"huber_narrow", LossKind::kHuber, 0.255}}) {
    NetBuilder net(name, 4, inputs);
    const std::string x =
        net.input({7}, Numbers::kSpread);  // multiples of 1/128: never on a kink against 0 targets
    const std::string y = net.node("flatten", {x});
    cases.push_back(net.finish(y, {.output = y, .loss = kind, .delta = delta, .weight = 28},
                               std::vector<double>(28, 0.0)));
  }
}

// What only a graph can get wrong: values read twice, parameters used twice, several outputs, dead ends.
void graph_cases(Cases& cases, InputsAre inputs) {
  NetBuilder residual("residual_block", 2, inputs);
  const std::string image = residual.input({5, 5, 8}, Numbers::kSpread);
  Options same_padding;
  same_padding.padding = same();
  const std::string first = residual.node("relu", {image});
  const std::string branch =
      residual.node("conv2d", {first}, {residual.parameter({3, 3, 8, 8})}, same_padding);
  const std::string normal = residual.node(
      "batchNormalization", {branch},
      {residual.parameter({8}, Numbers::kPositive), residual.parameter({8}),
       residual.parameter({8}, Numbers::kNormal, false), residual.parameter({8}, Numbers::kPositive, false)});
  const std::string joined = residual.node("add", {normal, first});
  const std::string squashed = residual.node("tanh", {joined});
  cases.push_back(residual.finish(residual.node("globalAveragePooling2d", {squashed})));

  NetBuilder shared("shared_parameters", 3, inputs);
  const std::string x = shared.input({4});
  const std::string kernel = shared.parameter({4, 4});
  const std::string bias = shared.parameter({4});
  const std::string once = shared.node("tanh", {shared.node("dense", {x}, {kernel, bias})});
  cases.push_back(shared.finish(shared.node("dense", {once}, {kernel, bias})));

  NetBuilder outputs("two_outputs_and_a_dead_end", 3, inputs);
  const std::string source = outputs.input({6});
  const std::string hidden =
      outputs.node("sigmoid", {outputs.node("dense", {source}, {outputs.parameter({6, 5})})});
  outputs.node("dense", {hidden}, {outputs.parameter({5, 2})});
  const std::string head = outputs.node("dense", {hidden}, {outputs.parameter({5, 3})});
  cases.push_back(outputs.finish(std::vector<std::string>{head, hidden}));

  NetBuilder softmaxes("softmax_read_twice", 3, inputs);
  const std::string logits = softmaxes.input({4});
  const std::string probabilities = softmaxes.node("softmax", {logits});
  softmaxes.add_output(softmaxes.node("multiply", {probabilities, logits}));
  OpCase both = softmaxes.finish(probabilities);
  both.losses.back().loss = LossKind::kCategoricalCrossentropy;
  both.targets.back() = {1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0};
  cases.push_back(std::move(both));

  NetBuilder pooled("conv_relu_pool_dense", 2, inputs);
  const std::string picture = pooled.input({6, 6, 3});
  const std::string conv = pooled.node(
      "conv2d", {picture}, {pooled.parameter({3, 3, 3, 16}), pooled.parameter({16})}, same_padding);
  Options pool;
  pool.pool_size = pool.strides = {2, 2};
  const std::string small = pooled.node("maxPooling2d", {pooled.node("relu", {conv})}, {}, pool);
  const std::string flat = pooled.node("flatten", {small});
  cases.push_back(
      pooled.finish(pooled.node("dense", {flat}, {pooled.parameter({144, 3}), pooled.parameter({3})})));
}

}  // namespace

std::vector<OpCase> op_cases(InputsAre inputs) {
  Cases cases;
  for (const auto& add : {dense_cases, conv_cases, pooling_cases, normalization_cases, activation_cases,
                          dropout_cases, embedding_cases, position_embedding_cases, attention_cases,
                          shape_cases, joining_cases, cross_entropy_cases, regression_cases, graph_cases}) {
    add(cases, inputs);
  }
  return cases;
}

}  // namespace lepton::test
