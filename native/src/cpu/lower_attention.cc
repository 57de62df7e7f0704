// Attention: the heads of all samples cut between threads, each head by one thread, always on plain bytes.
#include <memory>

#include "cpu/kernels/attention.h"
#include "cpu/kernels/simd.h"
#include "cpu/lowering.h"

namespace lepton::cpu {
namespace {

struct Heads {
  HeadSizes sizes;
  std::int64_t batch, heads;

  /// Where head `index` of all samples begins: in query, in key, in value, in y, in the probabilities.
  struct Offsets {
    std::int64_t query, key, value, y, probabilities;
  };
  Offsets offsets(std::int64_t index) const {
    const std::int64_t sample = index / heads, head = index % heads;
    const auto at = [&](std::int64_t length, std::int64_t stride, std::int64_t width) {
      return sample * length * stride + head * width;
    };
    return {at(sizes.queries, sizes.stride, sizes.width), at(sizes.keys, sizes.stride, sizes.width),
            at(sizes.keys, sizes.value_stride, sizes.value_width),
            at(sizes.queries, sizes.value_stride, sizes.value_width), index * sizes.queries * sizes.keys};
  }
  template <class Work>
  void each(const Frame& frame, Work&& work) const {
    const std::int64_t cost = sizes.queries * (sizes.width + 4 * sizes.keys);
    parallel_slices(batch * heads, frame.threads, cost, [&](auto begin, auto end) {
      const auto scratch =
          std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(head_scratch(sizes)));
      for (auto index = begin; index < end; ++index) work(offsets(index), scratch.get());
    });
  }
};

Heads heads_of(const Lowering& to, const FusedInstruction& op) {
  const Shape &query = to.shape(op.inputs[0]), &key = to.shape(op.inputs[1]), &value = to.shape(op.inputs[2]);
  const std::int64_t heads = op.attributes.heads;
  return {{query[1], key[1], query[2] / heads, value[2] / heads, query[2], value[2], op.attributes.causal},
          query[0],
          heads};
}

float* at(const Frame& frame, BufferId id, std::int64_t offset) {
  return id < 0 ? nullptr : frame.at(id) + offset;
}

void forward(Lowering& to, const FusedInstruction& op) {
  std::vector<BufferId> reads, writes;
  for (const ValueId id : op.inputs) reads.push_back(to.read_plain(id).buffer);
  const BufferId y = to.write_optional(op.outputs[0], writes);
  const BufferId kept = to.write_optional(op.outputs[1], writes);
  to.own(
      "attention", reads, writes,
      [heads = heads_of(to, op), query = reads[0], key = reads[1], value = reads[2], y, kept](Frame& frame) {
        heads.each(frame, [&](const Heads::Offsets& offsets, float* scratch) {
          attention_head(
              heads.sizes,
              {at(frame, query, offsets.query), at(frame, key, offsets.key), at(frame, value, offsets.value),
               at(frame, y, offsets.y), at(frame, kept, offsets.probabilities)},
              scratch);
        });
      });
}

void backward(Lowering& to, const FusedInstruction& op) {
  std::vector<BufferId> reads, writes, results;
  for (const ValueId id : op.inputs) reads.push_back(to.read_plain(id).buffer);
  for (const ValueId id : op.outputs) results.push_back(to.write_optional(id, writes));
  to.own("attention backward", reads, writes, [heads = heads_of(to, op), reads, results](Frame& frame) {
    heads.each(frame, [&](const Heads::Offsets& offsets, float* scratch) {
      attention_head_backward(heads.sizes,
                              {at(frame, reads[0], offsets.query), at(frame, reads[1], offsets.key),
                               at(frame, reads[2], offsets.value), at(frame, reads[3], offsets.probabilities),
                               at(frame, reads[4], offsets.y), at(frame, results[0], offsets.query),
                               at(frame, results[1], offsets.key), at(frame, results[2], offsets.value)},
                              scratch);
    });
  });
}

}  // namespace

void lower_attention(Lowering& to, const FusedInstruction& op) {
  if (op.kind == Kind::kAttention) return forward(to, op);
  backward(to, op);
}

}  // namespace lepton::cpu
