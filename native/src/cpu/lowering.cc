// The walk over the instructions and the bookkeeping of layouts. Knows no kind's meaning.
#include "cpu/lowering.h"

#include <cstring>
#include <utility>

#include "graph/error.h"

namespace lepton::cpu {

using dnnl::memory;

Lowering::Lowering(Program& program, const dnnl::engine& engine)
    : program_(program), engine_(engine), lies_(program.values.size()) {}

void Lowering::run() {
  for (const FusedInstruction& op : fuse(program_)) {
    node_ = op.node;
    try {
      lower(op);
      deliver();
    } catch (const dnnl::error& error) {
      throw EngineError("ENGINE_DEVICE",
                        "[" + op.node + "] oneDNN cannot do this operation: " + error.what());
    }
    if (!steps_.empty()) steps_.back().ready_from = op.ready_from;
  }
}

void Lowering::lower(const FusedInstruction& op) {
  switch (op.kind) {
    case Kind::kDense:
    case Kind::kDenseBackwardData:
    case Kind::kDenseBackwardWeights:
      return lower_dense(*this, op);
    case Kind::kConv2d:
    case Kind::kConv2dBackwardData:
    case Kind::kConv2dBackwardWeights:
      return lower_convolution(*this, op);
    case Kind::kMaxPooling2d:
    case Kind::kAveragePooling2d:
    case Kind::kGlobalAveragePooling2d:
    case Kind::kMaxPooling2dBackward:
    case Kind::kAveragePooling2dBackward:
    case Kind::kGlobalAveragePooling2dBackward:
      return lower_pooling(*this, op);
    case Kind::kBatchNormTraining:
    case Kind::kBatchNormInference:
    case Kind::kBatchNormBackward:
      return lower_batch_norm(*this, op);
    case Kind::kLayerNorm:
    case Kind::kLayerNormBackward:
      return lower_layer_norm(*this, op);
    case Kind::kEmbedding:
    case Kind::kEmbeddingBackward:
      return lower_embedding(*this, op);
    case Kind::kPositionEmbedding:
    case Kind::kPositionEmbeddingBackward:
      return lower_position_embedding(*this, op);
    case Kind::kAttention:
    case Kind::kAttentionBackward:
      return lower_attention(*this, op);
    case Kind::kCopy:
    case Kind::kTranspose:
    case Kind::kTransposeBackward:
    case Kind::kConcat:
    case Kind::kSplit:
      return lower_shape(*this, op);
    case Kind::kAdd:
    case Kind::kSum:
    case Kind::kMultiply:
    case Kind::kMultiplyBackward:
    case Kind::kActivation:
    case Kind::kActivationBackward:
    case Kind::kDropout:
    case Kind::kDropoutBackward:
      return lower_elementwise(*this, op);
    case Kind::kSoftmax:
    case Kind::kSoftmaxBackward:
      return lower_softmax(*this, op);
    case Kind::kLoss:
    case Kind::kLossBackward:
      return lower_loss(*this, op);
  }
  throw EngineError("ENGINE_INTERNAL", "[" + op.node + "] the cpu device does not know this instruction");
}

BufferId Lowering::bound_or_temporary(const Value& value, std::int64_t bytes) {
  buffers_.push_back({bytes, value.storage, value.index, value.offset, {}});
  return static_cast<BufferId>(buffers_.size()) - 1;
}

Tensor Lowering::read(ValueId id) {
  Tensor& tensor = lies_[static_cast<std::size_t>(id)];
  if (tensor.buffer < 0) {  // first use of something the caller binds
    const Value& from = value(id);
    tensor.layout = plain_layout(from.shape, from.type);
    tensor.buffer = bound_or_temporary(from, static_cast<std::int64_t>(tensor.layout.get_size()));
  }
  return tensor;
}

Tensor Lowering::read(ValueId id, const Layout& wanted) { return convert(read(id), wanted); }

Tensor Lowering::read_plain(ValueId id) { return read(id, plain_layout(value(id).shape, value(id).type)); }

Tensor Lowering::read_as(ValueId id, const memory::dims& dims) {
  return {row_major(dims), read_plain(id).buffer};
}

Tensor Lowering::read_blocks(ValueId id) {
  Tensor tensor = read(id);
  return channel_blocks(tensor.layout) ? tensor : read_plain(id);
}

Tensor Lowering::convert(const Tensor& from, const Layout& wanted) {
  if (same_bytes(from.layout, wanted)) return {wanted, from.buffer};
  auto& known = conversions_[from.buffer];
  for (const Conversion& conversion : known) {
    if (same_bytes(conversion.from, from.layout) && same_bytes(conversion.to, wanted)) {
      return {wanted, conversion.buffer};
    }
  }
  const Tensor to = scratch(wanted);
  reorder(from, to);
  conversions_[from.buffer].push_back({from.layout, wanted, to.buffer});
  return to;
}

void Lowering::reorder(const Tensor& from, const Tensor& into) {
  const dnnl::reorder::primitive_desc descriptor(engine_, from.layout, engine_, into.layout, attributes());
  library("reorder", dnnl::reorder(descriptor), {in(DNNL_ARG_FROM, from), out(DNNL_ARG_TO, into)},
          descriptor.scratchpad_desc(), Share::kReorder);
}

Tensor Lowering::write(ValueId id, const Layout& layout) {
  const Value& to = value(id);
  Tensor& tensor = lies_[static_cast<std::size_t>(id)];
  if (to.shape.size() == 4) usual_[to.shape] = layout;
  const Layout plain = plain_layout(to.shape, to.type);
  if (to.storage == Storage::kTemporary || same_bytes(layout, plain)) {
    tensor = {layout, bound_or_temporary(to, static_cast<std::int64_t>(layout.get_size()))};
    return tensor;
  }
  const Tensor made = scratch(layout);
  tensor = {plain, bound_or_temporary(to, static_cast<std::int64_t>(plain.get_size()))};
  deliveries_.emplace_back(made, tensor);
  return made;
}

Tensor Lowering::write_kernel(ValueId id, const Layout& layout, const Layout& arena) {
  const Value& to = value(id);
  const Layout plain = plain_layout(to.shape);
  const BufferId buffer = bound_or_temporary(to, static_cast<std::int64_t>(plain.get_size()));
  lies_[static_cast<std::size_t>(id)] = {plain, buffer};
  if (same_bytes(layout, arena)) return {layout, buffer};
  const Tensor made = scratch(layout);
  deliveries_.emplace_back(made, Tensor{arena, buffer});
  return made;
}

Layout Lowering::usual(const Shape& shape) const {
  const auto found = usual_.find(shape);
  return found == usual_.end() ? plain_layout(shape) : found->second;
}

Tensor Lowering::write_plain(ValueId id) { return write(id, plain_layout(value(id).shape, value(id).type)); }

BufferId Lowering::read_optional(ValueId id, std::vector<BufferId>& list) {
  if (id == kNone) return -1;
  list.push_back(read_plain(id).buffer);
  return list.back();
}

BufferId Lowering::write_optional(ValueId id, std::vector<BufferId>& list) {
  if (id == kNone) return -1;
  list.push_back(write_plain(id).buffer);
  return list.back();
}

Tensor Lowering::write_as(ValueId id, const memory::dims& dims) {
  return {row_major(dims), write_plain(id).buffer};
}

void Lowering::define_as(ValueId id, const Tensor& tensor) {
  if (value(id).storage == Storage::kTemporary) {
    lies_[static_cast<std::size_t>(id)] = tensor;
    return;
  }
  const std::int64_t bytes = elements(shape(id)) * static_cast<std::int64_t>(sizeof(float));
  const Tensor to = write_plain(id);
  own("copy", {tensor.buffer}, {to.buffer}, [from = tensor.buffer, to = to.buffer, bytes](Frame& frame) {
    std::memcpy(frame.at(to), frame.at(from), static_cast<std::size_t>(bytes));
  });
}

Tensor Lowering::scratch(const Layout& layout) {
  buffers_.push_back({static_cast<std::int64_t>(layout.get_size()), Storage::kTemporary, 0, 0, {}});
  return {layout, static_cast<BufferId>(buffers_.size()) - 1};
}

void Lowering::may_replace(const Tensor& output, const std::vector<BufferId>& inputs) {
  buffers_[static_cast<std::size_t>(output.buffer)].may_replace = inputs;
}

void Lowering::deliver() {
  for (const auto& [made, wanted] : std::exchange(deliveries_, {})) {
    reorder(made, wanted);
    // Later readers that want the layout it was made in need no second reorder.
    conversions_[wanted.buffer].push_back({wanted.layout, made.layout, made.buffer});
  }
}

void Lowering::own(std::string what, std::vector<BufferId> reads, std::vector<BufferId> writes,
                   std::function<void(Frame&)> run) {
  steps_.push_back(
      {Share::kOwn, std::move(reads), std::move(writes), std::move(run), node_, std::move(what), -1});
}

dnnl::primitive_attr Lowering::attributes() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

}  // namespace lepton::cpu
