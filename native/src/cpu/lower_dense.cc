// Dense layers: y = x kernel + bias on rows (all dimensions but the last together), and both gradients.
// The kernel lies (in, out) in the arena. Which primitive serves which product is measured: on one core the
// inner product with its own weight format wins forward by more than the reorder costs, plain matmul wins for
// dx, and the inner product on plain weights for dkernel, which then needs no reorder into the gradient
// arena.
#include "cpu/lowering.h"

namespace lepton::cpu {
namespace {

using dnnl::memory;
using dnnl::prop_kind;

struct Product {
  memory::dim rows, in, out;
  Layout x() const { return row_major({rows, in}); }
  Layout y() const { return row_major({rows, out}); }
  Layout bias() const { return row_major({out}); }
  /// Logical (out, in) as the inner product wants it, over the arena's (in, out).
  Layout kernel() const { return Layout({out, in}, memory::data_type::f32, memory::dims{1, out}); }
  Layout any_kernel() const { return Layout({out, in}, memory::data_type::f32, Tag::any); }
};

Product product(const Lowering& to, ValueId x_or_y, ValueId kernel) {
  const Shape& shape = to.shape(kernel);
  return {elements(to.shape(x_or_y)) / to.shape(x_or_y).back(), shape[0], shape[1]};
}

void forward(Lowering& to, const FusedInstruction& op) {
  const Product product_ = product(to, op.inputs[0], op.inputs[1]);
  const ValueId bias = op.inputs[2];
  auto attributes = Lowering::attributes();
  if (op.relu) {
    dnnl::post_ops then;
    then.append_eltwise(dnnl::algorithm::eltwise_relu, 0, 0);
    attributes.set_post_ops(then);
  }
  using Forward = dnnl::inner_product_forward;
  const auto descriptor =
      bias == kNone
          ? Forward::primitive_desc(to.engine(), prop_kind::forward_training, product_.x(),
                                    product_.any_kernel(), product_.y(), attributes)
          : Forward::primitive_desc(to.engine(), prop_kind::forward_training, product_.x(),
                                    product_.any_kernel(), product_.bias(), product_.y(), attributes);
  const Tensor kernel =
      to.convert({product_.kernel(), to.read_plain(op.inputs[1]).buffer}, descriptor.weights_desc());
  std::vector<Argument> arguments{in(DNNL_ARG_SRC, to.read_as(op.inputs[0], {product_.rows, product_.in})),
                                  in(DNNL_ARG_WEIGHTS, kernel)};
  if (bias != kNone) arguments.push_back(in(DNNL_ARG_BIAS, to.read_plain(bias)));
  arguments.push_back(out(DNNL_ARG_DST, to.write_as(op.outputs[0], {product_.rows, product_.out})));
  to.library("dense", Forward(descriptor), std::move(arguments), descriptor.scratchpad_desc());
}

void backward_data(Lowering& to, const FusedInstruction& op) {
  const Product product_ = product(to, op.inputs[0], op.inputs[1]);
  const Layout transposed({product_.out, product_.in}, memory::data_type::f32, memory::dims{1, product_.out});
  const dnnl::matmul::primitive_desc descriptor(to.engine(), product_.y(), transposed, product_.x(),
                                                Lowering::attributes());
  to.library("dense backward data", dnnl::matmul(descriptor),
             {in(DNNL_ARG_SRC, to.read_as(op.inputs[0], {product_.rows, product_.out})),
              in(DNNL_ARG_WEIGHTS, {transposed, to.read_plain(op.inputs[1]).buffer}),
              out(DNNL_ARG_DST, to.write_as(op.outputs[0], {product_.rows, product_.in}))},
             descriptor.scratchpad_desc());
}

void backward_weights(Lowering& to, const FusedInstruction& op) {
  const Product product_ = product(to, op.inputs[0], op.outputs[0]);
  const bool biased = op.outputs[1] != kNone;
  const Layout bias = biased ? product_.bias() : Layout();
  const dnnl::inner_product_forward::primitive_desc hint(to.engine(), prop_kind::forward_training,
                                                         product_.x(), product_.kernel(), bias, product_.y(),
                                                         Lowering::attributes());
  const dnnl::inner_product_backward_weights::primitive_desc descriptor(
      to.engine(), product_.x(), product_.kernel(), bias, product_.y(), hint, Lowering::attributes());
  std::vector<Argument> arguments{
      in(DNNL_ARG_SRC, to.read_as(op.inputs[0], {product_.rows, product_.in})),
      in(DNNL_ARG_DIFF_DST, to.read_as(op.inputs[1], {product_.rows, product_.out})),
      out(DNNL_ARG_DIFF_WEIGHTS, to.write_kernel(op.outputs[0], product_.kernel(), product_.kernel()))};
  if (biased) arguments.push_back(out(DNNL_ARG_DIFF_BIAS, to.write_plain(op.outputs[1])));
  to.library("dense backward weights", dnnl::inner_product_backward_weights(descriptor), std::move(arguments),
             descriptor.scratchpad_desc());
}

}  // namespace

void lower_dense(Lowering& to, const FusedInstruction& op) {
  if (op.kind == Kind::kDense) return forward(to, op);
  if (op.kind == Kind::kDenseBackwardData) return backward_data(to, op);
  backward_weights(to, op);
}

}  // namespace lepton::cpu
