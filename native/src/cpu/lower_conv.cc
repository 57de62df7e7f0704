// Convolutions and their gradients. The library chooses every layout; kernels lie HWIO in the arenas.
#include "cpu/lowering.h"

namespace lepton::cpu {
namespace {

using dnnl::algorithm;
using dnnl::memory;
using dnnl::prop_kind;

/// A convolution in the library's words.
struct Geometry {
  Layout x, y, kernel, any_kernel, bias;
  memory::dims strides, dilation, before, after;
};

Geometry geometry(const Attributes& attributes, const Shape& x, const Shape& kernel, const Shape& y,
                  bool biased) {
  const Layout plain = kernel_layout(kernel, attributes.groups);
  const auto& [top, bottom, left, right] = attributes.padding;
  return {any_image(x),
          any_image(y),
          plain,
          Layout(plain.get_dims(), memory::data_type::f32, Tag::any),
          biased ? row_major({kernel[3]}) : Layout(),
          {attributes.strides[0], attributes.strides[1]},
          {attributes.dilation[0] - 1, attributes.dilation[1] - 1},
          {top, left},
          {bottom, right}};
}

using Forward = dnnl::convolution_forward;

Forward::primitive_desc forward_descriptor(const Lowering& to, const Geometry& g,
                                           const dnnl::primitive_attr& attributes) {
  return Forward::primitive_desc(to.engine(), prop_kind::forward_training, algorithm::convolution_direct, g.x,
                                 g.any_kernel, g.bias, g.y, g.strides, g.dilation, g.before, g.after,
                                 attributes);
}

void forward(Lowering& to, const FusedInstruction& op) {
  const ValueId x = op.inputs[0], kernel = op.inputs[1], bias = op.inputs[2], y = op.outputs[0];
  const Geometry g = geometry(op.attributes, to.shape(x), to.shape(kernel), to.shape(y), bias != kNone);
  auto attributes = Lowering::attributes();
  if (op.relu) {
    dnnl::post_ops then;
    then.append_eltwise(algorithm::eltwise_relu, 0, 0);
    attributes.set_post_ops(then);
  }
  const auto descriptor = forward_descriptor(to, g, attributes);
  std::vector<Argument> arguments{
      in(DNNL_ARG_SRC, to.read(x, descriptor.src_desc())),
      in(DNNL_ARG_WEIGHTS, to.convert({g.kernel, to.read(kernel).buffer}, descriptor.weights_desc()))};
  if (bias != kNone) arguments.push_back(in(DNNL_ARG_BIAS, to.read_plain(bias)));
  arguments.push_back(out(DNNL_ARG_DST, to.write(y, descriptor.dst_desc())));
  to.library("convolution", Forward(descriptor), std::move(arguments), descriptor.scratchpad_desc());
}

void backward_data(Lowering& to, const FusedInstruction& op) {
  const ValueId dy = op.inputs[0], kernel = op.inputs[1], dx = op.outputs[0];
  const Geometry g = geometry(op.attributes, to.shape(dx), to.shape(kernel), to.shape(dy), false);
  const auto hint = forward_descriptor(to, g, Lowering::attributes());
  const dnnl::convolution_backward_data::primitive_desc descriptor(
      to.engine(), algorithm::convolution_direct, g.x, g.any_kernel, g.y, g.strides, g.dilation, g.before,
      g.after, hint, Lowering::attributes());
  to.library("convolution backward data", dnnl::convolution_backward_data(descriptor),
             {in(DNNL_ARG_DIFF_DST, to.read(dy, descriptor.diff_dst_desc())),
              in(DNNL_ARG_WEIGHTS, to.convert({g.kernel, to.read(kernel).buffer}, descriptor.weights_desc())),
              out(DNNL_ARG_DIFF_SRC, to.write(dx, descriptor.diff_src_desc()))},
             descriptor.scratchpad_desc());
}

void backward_weights(Lowering& to, const FusedInstruction& op) {
  const ValueId x = op.inputs[0], dy = op.inputs[1], kernel = op.outputs[0], bias = op.outputs[1];
  const Geometry g = geometry(op.attributes, to.shape(x), to.shape(kernel), to.shape(dy), bias != kNone);
  const auto hint = forward_descriptor(to, g, Lowering::attributes());
  const dnnl::convolution_backward_weights::primitive_desc descriptor(
      to.engine(), algorithm::convolution_direct, g.x, g.any_kernel, g.bias, g.y, g.strides, g.dilation,
      g.before, g.after, hint, Lowering::attributes());
  std::vector<Argument> arguments{
      in(DNNL_ARG_SRC, to.read(x, descriptor.src_desc())),
      in(DNNL_ARG_DIFF_DST, to.read(dy, descriptor.diff_dst_desc())),
      out(DNNL_ARG_DIFF_WEIGHTS, to.write_kernel(kernel, descriptor.diff_weights_desc(), g.kernel))};
  if (bias != kNone) arguments.push_back(out(DNNL_ARG_DIFF_BIAS, to.write_plain(bias)));
  to.library("convolution backward weights", dnnl::convolution_backward_weights(descriptor),
             std::move(arguments), descriptor.scratchpad_desc());
}

}  // namespace

void lower_convolution(Lowering& to, const FusedInstruction& op) {
  if (op.kind == Kind::kConv2d) return forward(to, op);
  if (op.kind == Kind::kConv2dBackwardData) return backward_data(to, op);
  backward_weights(to, op);
}

}  // namespace lepton::cpu
