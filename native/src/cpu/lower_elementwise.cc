// Kinds that work element by element: they run over the flat bytes of whatever layout the value lies in.
#include <algorithm>

#include "cpu/kernels/dropout.h"
#include "cpu/kernels/elementwise.h"
#include "cpu/kernels/simd.h"
#include "cpu/lowering.h"

namespace lepton::cpu {
namespace {

using dnnl::algorithm;

/// Inputs in one layout: a blocked one if any of them has one, for the neighbours will want it too.
std::vector<Tensor> read_alike(Lowering& to, const std::vector<ValueId>& ids) {
  Tensor model = to.read(ids[0]);
  for (const ValueId id : ids) {
    const Tensor tensor = to.read(id);
    if (tensor.layout.get_inner_nblks() > model.layout.get_inner_nblks()) model = tensor;
  }
  std::vector<Tensor> tensors;
  for (const ValueId id : ids) tensors.push_back(to.read(id, model.layout));
  return tensors;
}

std::vector<BufferId> buffers_of(const std::vector<Tensor>& tensors) {
  std::vector<BufferId> buffers;
  for (const Tensor& tensor : tensors) buffers.push_back(tensor.buffer);
  return buffers;
}

/// The first two inputs are read before the output is written, unless they come again later.
std::vector<BufferId> safe_to_replace(const std::vector<BufferId>& inputs) {
  std::vector<BufferId> safe;
  const auto later = inputs.begin() + std::min<std::ptrdiff_t>(2, std::ssize(inputs));
  for (auto candidate = inputs.begin(); candidate != later; ++candidate) {
    if (std::find(later, inputs.end(), *candidate) == inputs.end()) safe.push_back(*candidate);
  }
  return safe;
}

void lower_fold(Lowering& to, const FusedInstruction& op, bool product) {
  const auto tensors = read_alike(to, op.inputs);
  const auto inputs = buffers_of(tensors);
  const Tensor y = to.write(op.outputs[0], tensors[0].layout);
  to.may_replace(y, safe_to_replace(inputs));
  to.own(product ? "multiply" : "add", inputs, {y.buffer},
         [inputs, y = y.buffer, count = padded_elements(y.layout), relu = op.relu, product](Frame& frame) {
           parallel_slices(count, frame.threads, static_cast<std::int64_t>(inputs.size()),
                           [&](auto begin, auto end) {
                             std::vector<const float*> from;
                             for (const BufferId input : inputs) from.push_back(frame.at(input) + begin);
                             if (product) {
                               multiply(from, frame.at(y) + begin, end - begin);
                             } else {
                               add(from, frame.at(y) + begin, end - begin, relu);
                             }
                           });
         });
}

algorithm library_activation(Activation activation) {
  switch (activation) {
    case Activation::kElu:
      return algorithm::eltwise_elu_use_dst_for_bwd;
    case Activation::kSigmoid:
      return algorithm::eltwise_logistic_use_dst_for_bwd;
    case Activation::kTanh:
      return algorithm::eltwise_tanh_use_dst_for_bwd;
    case Activation::kGeluTanh:
      return algorithm::eltwise_gelu_tanh;
    default:
      return algorithm::eltwise_gelu_erf;
  }
}

bool is_rectifier(Activation activation) {
  return activation == Activation::kRelu || activation == Activation::kLeakyRelu;
}

float slope_of(const Attributes& attributes) {
  return attributes.activation == Activation::kLeakyRelu ? static_cast<float>(attributes.alpha) : 0.0f;
}

/// As it lies, except that a function with f(0) != 0 must not see the zero padding of a blocked layout.
Tensor read_for(Lowering& to, ValueId id, Activation activation) {
  const Tensor tensor = to.read(id);
  const bool padded = padded_elements(tensor.layout) != elements(to.shape(id));
  return activation == Activation::kSigmoid && padded ? to.read_plain(id) : tensor;
}

using Eltwise = dnnl::eltwise_forward;

Eltwise::primitive_desc eltwise(const Lowering& to, const Attributes& attributes, const Layout& flat) {
  return Eltwise::primitive_desc(to.engine(), dnnl::prop_kind::forward_training,
                                 library_activation(attributes.activation), flat, flat,
                                 static_cast<float>(attributes.alpha), 0.0f, Lowering::attributes());
}

void lower_activation(Lowering& to, const FusedInstruction& op) {
  const Tensor x = read_for(to, op.inputs[0], op.attributes.activation);
  const Tensor y = to.write(op.outputs[0], x.layout);
  const std::int64_t count = padded_elements(x.layout);
  to.may_replace(y, {x.buffer});
  if (is_rectifier(op.attributes.activation)) {
    to.own("relu", {x.buffer}, {y.buffer},
           [x = x.buffer, y = y.buffer, count, slope = slope_of(op.attributes)](Frame& frame) {
             parallel_slices(count, frame.threads, 2, [&](auto begin, auto end) {
               leaky_relu(frame.at(x) + begin, frame.at(y) + begin, end - begin, slope);
             });
           });
    return;
  }
  const Layout flat = row_major({count});
  const auto descriptor = eltwise(to, op.attributes, flat);
  to.library("activation", Eltwise(descriptor),
             {in(DNNL_ARG_SRC, {flat, x.buffer}), out(DNNL_ARG_DST, {flat, y.buffer})},
             descriptor.scratchpad_desc());
}

void lower_activation_backward(Lowering& to, const FusedInstruction& op) {
  const Attributes& attributes = op.attributes;
  const bool from_x =
      attributes.activation == Activation::kGelu || attributes.activation == Activation::kGeluTanh;
  const Tensor kept = read_for(to, op.inputs[from_x ? 0 : 1], attributes.activation);
  const Tensor dy = to.read(op.inputs[2], kept.layout);
  const Tensor dx = to.write(op.outputs[0], kept.layout);
  const std::int64_t count = padded_elements(kept.layout);
  to.may_replace(dx, {dy.buffer, kept.buffer});
  if (is_rectifier(attributes.activation)) {
    to.own(
        "relu backward", {kept.buffer, dy.buffer}, {dx.buffer},
        [y = kept.buffer, dy = dy.buffer, dx = dx.buffer, count, slope = slope_of(attributes)](Frame& frame) {
          parallel_slices(count, frame.threads, 3, [&](auto begin, auto end) {
            leaky_relu_backward(frame.at(y) + begin, frame.at(dy) + begin, frame.at(dx) + begin, end - begin,
                                slope);
          });
        });
    return;
  }
  const Layout flat = row_major({count});
  const dnnl::eltwise_backward::primitive_desc descriptor(
      to.engine(), library_activation(attributes.activation), flat, flat, flat,
      static_cast<float>(attributes.alpha), 0.0f, eltwise(to, attributes, flat), Lowering::attributes());
  to.library("activation backward", dnnl::eltwise_backward(descriptor),
             {in(from_x ? DNNL_ARG_SRC : DNNL_ARG_DST, {flat, kept.buffer}),
              in(DNNL_ARG_DIFF_DST, {flat, dy.buffer}), out(DNNL_ARG_DIFF_SRC, {flat, dx.buffer})},
             descriptor.scratchpad_desc());
}

/// Forward and backward are the same product with the mask. Elements are counted in the plain order.
void lower_dropout(Lowering& to, const FusedInstruction& op) {
  const Tensor x = to.read_plain(op.inputs[0]);
  const Tensor y = to.write_plain(op.outputs[0]);
  to.may_replace(y, {x.buffer});
  to.own("dropout", {x.buffer}, {y.buffer},
         [x = x.buffer, y = y.buffer, count = elements(to.shape(op.inputs[0])), rate = op.attributes.alpha,
          node = op.attributes.node](Frame& frame) {
           const DropoutMask mask{frame.seed, frame.step, frame.rank, node};
           const std::int64_t groups = (count + kDropoutGroup - 1) / kDropoutGroup;
           parallel_slices(groups, frame.threads, 4 * kDropoutGroup, [&](auto begin, auto end) {
             dropout(mask, rate, frame.at(x), frame.at(y), begin * kDropoutGroup,
                     std::min(count, end * kDropoutGroup));
           });
         });
}

}  // namespace

void lower_elementwise(Lowering& to, const FusedInstruction& op) {
  switch (op.kind) {
    case Kind::kActivation:
      return lower_activation(to, op);
    case Kind::kActivationBackward:
      return lower_activation_backward(to, op);
    case Kind::kDropout:
    case Kind::kDropoutBackward:
      return lower_dropout(to, op);
    default:
      return lower_fold(to, op, op.kind == Kind::kMultiply || op.kind == Kind::kMultiplyBackward);
  }
}

}  // namespace lepton::cpu
