// maxPooling2d, averagePooling2d (padding not counted), globalAveragePooling2d.
#include "ops/families.h"
#include "ops/window.h"

namespace lepton {
namespace {

void infer_pooling(Node& node) {
  check_image(node);
  node.attributes.window = node.spec->options.pool_size;
  const auto [height, width] = slide(node, node.attributes.window, "poolSize");
  const Shape& x = node.input_shapes[0];
  node.shape = {x[0], height, width, x[3]};
}

class MaxPooling2d final : public Op {
 public:
  std::string_view name() const override { return "maxPooling2d"; }
  void infer(Node& node) const override { infer_pooling(node); }

  void forward(Builder& builder, Node& node) const override {
    node.output = builder.temporary(node.shape, node.spec->name);
    ValueId argmax = kNone;
    if (builder.needs_gradient(node.inputs[0])) {
      argmax = builder.temporary(node.shape, node.spec->name + " argmax", DType::kInt32);
    }
    node.saved = {argmax};
    builder.emit(Kind::kMaxPooling2d, node.inputs, {node.output, argmax}, node);
  }

  void backward(Builder& builder, const Node& node, ValueId dy) const override {
    const ValueId dx = builder.input_gradient(node.inputs[0]);
    builder.emit(Kind::kMaxPooling2dBackward, {dy, node.saved[0]}, {dx}, node);
  }
};

class AveragePooling2d final : public Op {
 public:
  std::string_view name() const override { return "averagePooling2d"; }
  void infer(Node& node) const override { infer_pooling(node); }
  void forward(Builder& builder, Node& node) const override {
    builder.emit_output(Kind::kAveragePooling2d, node.inputs, node);
  }
  void backward(Builder& builder, const Node& node, ValueId dy) const override {
    const ValueId dx = builder.input_gradient(node.inputs[0]);
    builder.emit(Kind::kAveragePooling2dBackward, {dy}, {dx}, node);
  }
};

class GlobalAveragePooling2d final : public Op {
 public:
  std::string_view name() const override { return "globalAveragePooling2d"; }
  void infer(Node& node) const override {
    check_image(node);
    const Shape& x = node.input_shapes[0];
    node.shape = {x[0], x[3]};
  }
  void forward(Builder& builder, Node& node) const override {
    builder.emit_output(Kind::kGlobalAveragePooling2d, node.inputs, node);
  }
  void backward(Builder& builder, const Node& node, ValueId dy) const override {
    const ValueId dx = builder.input_gradient(node.inputs[0]);
    builder.emit(Kind::kGlobalAveragePooling2dBackward, {dy}, {dx}, node);
  }
};

}  // namespace

std::vector<const Op*> pooling2d_ops() {
  static const MaxPooling2d max;
  static const AveragePooling2d average;
  static const GlobalAveragePooling2d global;
  return {&max, &average, &global};
}

}  // namespace lepton
