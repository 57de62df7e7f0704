// Losses: a number for the caller, and the gradient that backward starts from.
#include "cpu/kernels/loss.h"
#include "cpu/lowering.h"

namespace lepton::cpu {

void lower_loss(Lowering& to, const FusedInstruction& op) {
  const Shape& shape = to.shape(op.inputs[0]);
  const std::int64_t columns = shape.empty() ? 1 : shape.back();
  const LossGeometry geometry{elements(shape) / columns, columns};
  const BufferId prediction = to.read_plain(op.inputs[0]).buffer, target = to.read_plain(op.inputs[1]).buffer;
  if (op.kind == Kind::kLoss) {
    const auto index = static_cast<std::size_t>(to.value(op.outputs[0]).index);
    to.own("loss", {prediction, target}, {}, [=, attributes = op.attributes](Frame& frame) {
      frame.losses[index] = loss(attributes, geometry, frame.at(prediction), frame.at<void>(target));
    });
    return;
  }
  const Tensor dx = to.write_plain(op.outputs[0]);
  to.may_replace(dx, {prediction});
  to.own("loss backward", {prediction, target}, {dx.buffer},
         [=, attributes = op.attributes, dx = dx.buffer](Frame& frame) {
           loss_backward(attributes, geometry, frame.at(prediction), frame.at<void>(target), frame.at(dx));
         });
}

}  // namespace lepton::cpu
