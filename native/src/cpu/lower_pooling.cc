// Max, average and global average pooling. The windowed kinds run in the library, in the layout of their
// input.
#include <string>

#include "cpu/kernels/pooling.h"
#include "cpu/kernels/simd.h"
#include "cpu/lowering.h"

namespace lepton::cpu {
namespace {

using dnnl::algorithm;
using dnnl::memory;
using dnnl::prop_kind;
using Forward = dnnl::pooling_forward;

Forward::primitive_desc forward_descriptor(const Lowering& to, const FusedInstruction& op, const Layout& x,
                                           const Layout& y, bool training) {
  const bool max = op.kind == Kind::kMaxPooling2d || op.kind == Kind::kMaxPooling2dBackward;
  const Attributes& a = op.attributes;
  return Forward::primitive_desc(
      to.engine(), training ? prop_kind::forward_training : prop_kind::forward_inference,
      max ? algorithm::pooling_max : algorithm::pooling_avg_exclude_padding, x, y,
      memory::dims{a.strides[0], a.strides[1]}, memory::dims{a.window[0], a.window[1]}, memory::dims{0, 0},
      memory::dims{a.padding[0], a.padding[2]}, memory::dims{a.padding[1], a.padding[3]},
      Lowering::attributes());
}

/// Some blocked layouts have no fast kernel on some machines; NHWC always has.
bool is_slow(const Forward::primitive_desc& descriptor) {
  return std::string(descriptor.impl_info_str()).find("ref") != std::string::npos;
}

void forward(Lowering& to, const FusedInstruction& op) {
  const bool keeps_winners = op.kind == Kind::kMaxPooling2d && op.outputs[1] != kNone;
  const Layout any = any_image(to.shape(op.outputs[0]));
  Tensor x = to.read_blocks(op.inputs[0]);
  auto descriptor = forward_descriptor(to, op, x.layout, any, keeps_winners);
  if (is_slow(descriptor)) {
    x = to.read_plain(op.inputs[0]);
    descriptor = forward_descriptor(to, op, x.layout, any, keeps_winners);
  }
  std::vector<Argument> arguments{in(DNNL_ARG_SRC, x),
                                  out(DNNL_ARG_DST, to.write(op.outputs[0], descriptor.dst_desc()))};
  if (keeps_winners) {
    const Tensor workspace = to.scratch(descriptor.workspace_desc());
    arguments.push_back(out(DNNL_ARG_WORKSPACE, workspace));
    to.memos[op.outputs[1]] = {descriptor, workspace};
  }
  to.library("pooling", Forward(descriptor), std::move(arguments), descriptor.scratchpad_desc());
}

void max_backward(Lowering& to, const FusedInstruction& op) {
  const Memo& memo = to.memos.at(op.inputs[1]);
  const dnnl::pooling_backward::primitive_desc descriptor(
      to.engine(), algorithm::pooling_max, memo.pooling.src_desc(), memo.pooling.dst_desc(),
      memo.pooling.get_strides(), memo.pooling.get_kernel(), memo.pooling.get_dilations(),
      memo.pooling.get_padding_l(), memo.pooling.get_padding_r(), memo.pooling, Lowering::attributes());
  to.library("pooling backward", dnnl::pooling_backward(descriptor),
             {in(DNNL_ARG_DIFF_DST, to.read(op.inputs[0], descriptor.diff_dst_desc())),
              in(DNNL_ARG_WORKSPACE, memo.workspace),
              out(DNNL_ARG_DIFF_SRC, to.write(op.outputs[0], descriptor.diff_src_desc()))},
             descriptor.scratchpad_desc());
}

void average_backward(Lowering& to, const FusedInstruction& op) {
  const Layout x = same_format(to.usual(to.shape(op.outputs[0])), to.shape(op.outputs[0]));
  Layout y = same_format(x, to.shape(op.inputs[0])), dx = x;
  auto hint = forward_descriptor(to, op, x, y, true);
  if (is_slow(hint)) {
    dx = plain_layout(to.shape(op.outputs[0]));
    y = plain_layout(to.shape(op.inputs[0]));
    hint = forward_descriptor(to, op, dx, y, true);
  }
  const dnnl::pooling_backward::primitive_desc descriptor(
      to.engine(), algorithm::pooling_avg_exclude_padding, dx, y, hint.get_strides(), hint.get_kernel(),
      hint.get_dilations(), hint.get_padding_l(), hint.get_padding_r(), hint, Lowering::attributes());
  to.library(
      "pooling backward", dnnl::pooling_backward(descriptor),
      {in(DNNL_ARG_DIFF_DST, to.read(op.inputs[0], y)), out(DNNL_ARG_DIFF_SRC, to.write(op.outputs[0], dx))},
      descriptor.scratchpad_desc());
}

void global_forward(Lowering& to, const FusedInstruction& op) {
  const Tensor x = to.read_blocks(op.inputs[0]);
  const Tensor y = to.write_plain(op.outputs[0]);
  to.own("global pooling", {x.buffer}, {y.buffer},
         [x = x.buffer, y = y.buffer, blocks = *channel_blocks(x.layout),
          channels = to.shape(op.inputs[0])[3]](Frame& frame) {
           parallel_slices(blocks.images, frame.threads, blocks.pixels * channels, [&](auto begin, auto end) {
             global_average(frame.at(x), frame.at(y), blocks, channels, begin, end);
           });
         });
}

void global_backward(Lowering& to, const FusedInstruction& op) {
  const Shape& shape = to.shape(op.outputs[0]);
  const Layout layout = same_format(to.usual(shape), shape);
  const BufferId dy = to.read_plain(op.inputs[0]).buffer;
  const Tensor dx = to.write(op.outputs[0], layout);
  to.own("global pooling backward", {dy}, {dx.buffer},
         [dy, dx = dx.buffer, blocks = *channel_blocks(layout), channels = shape[3]](Frame& frame) {
           parallel_slices(blocks.images, frame.threads, blocks.pixels * channels, [&](auto begin, auto end) {
             global_average_backward(frame.at(dy), frame.at(dx), blocks, channels, begin, end);
           });
         });
}

}  // namespace

void lower_pooling(Lowering& to, const FusedInstruction& op) {
  switch (op.kind) {
    case Kind::kMaxPooling2dBackward:
      return max_backward(to, op);
    case Kind::kAveragePooling2dBackward:
      return average_backward(to, op);
    case Kind::kGlobalAveragePooling2d:
      return global_forward(to, op);
    case Kind::kGlobalAveragePooling2dBackward:
      return global_backward(to, op);
    default:
      return forward(to, op);
  }
}

}  // namespace lepton::cpu
