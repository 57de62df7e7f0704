// Kinds that only move elements: reshape, transpose, concat, split.
#include <cstring>

#include "cpu/lowering.h"

namespace lepton::cpu {
namespace {

using dnnl::memory;

memory::dims row_strides(const Shape& shape) {
  return row_major(memory::dims(shape.begin(), shape.end())).get_strides();
}

/// A transpose is a reorder from permuted strides to plain ones, and its gradient a reorder back.
void lower_transpose(Lowering& to, const FusedInstruction& op) {
  const auto& permutation = op.attributes.permutation;
  const Shape& from = to.shape(op.inputs[0]);
  const Shape& result = to.shape(op.outputs[0]);
  const memory::dims from_strides = row_strides(from);
  memory::dims strides(result.size());
  for (std::size_t i = 0; i < permutation.size(); ++i) {
    const auto axis = static_cast<std::size_t>(permutation[i]);
    if (op.kind == Kind::kTranspose) {
      strides[i] = from_strides[axis];
    } else {
      strides[axis] = from_strides[i];
    }
  }
  const memory::dims dims(result.begin(), result.end());
  const Layout source(dims, memory::data_type::f32, strides), target = row_major(dims);
  const dnnl::reorder::primitive_desc descriptor(to.engine(), source, to.engine(), target,
                                                 Lowering::attributes());
  const BufferId x = to.read_plain(op.inputs[0]).buffer, y = to.write_plain(op.outputs[0]).buffer;
  to.library("transpose", dnnl::reorder(descriptor),
             {in(DNNL_ARG_FROM, {source, x}), out(DNNL_ARG_TO, {target, y})}, descriptor.scratchpad_desc(),
             Share::kReorder);
}

/// Concatenation as copies of runs: every part gives `run` neighbouring floats to each of `rows` rows.
struct Runs {
  std::int64_t rows = 1;
  std::vector<std::int64_t> lengths;  // by part
};

/// Blocked images can be joined along their channels without a reorder when every part fills its blocks.
bool joins_blocks(const std::vector<Layout>& layouts) {
  const auto first = channel_blocks(layouts[0]);
  if (!first || layouts[0].get_inner_nblks() == 0) return false;
  for (const Layout& layout : layouts) {
    const auto blocks = channel_blocks(layout);
    if (!blocks || layout.get_inner_nblks() == 0 || blocks->width != first->width) return false;
    if (layout.get_dims()[1] % blocks->width != 0) return false;
  }
  return true;
}

Runs runs_of(const std::vector<Shape>& parts, std::int64_t axis, bool blocked) {
  Runs runs;
  const auto at =
      static_cast<std::size_t>(blocked ? 1 : axis);  // a block of channels lies right behind the batch
  for (std::size_t i = 0; i < at; ++i) runs.rows *= parts[0][i];
  for (const Shape& part : parts) runs.lengths.push_back(elements(part) / runs.rows);
  return runs;
}

void copy_run(float* to, const float* from, std::int64_t count) {
  std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
}

void lower_concat(Lowering& to, const FusedInstruction& op) {
  std::vector<Layout> layouts;
  std::vector<Shape> shapes;
  for (const ValueId id : op.inputs) {
    layouts.push_back(to.read(id).layout);
    shapes.push_back(to.shape(id));
  }
  const Shape& result = to.shape(op.outputs[0]);
  const bool blocked = result.size() == 4 && op.attributes.axis == 3 && joins_blocks(layouts);
  std::vector<BufferId> parts;
  for (const ValueId id : op.inputs) parts.push_back((blocked ? to.read(id) : to.read_plain(id)).buffer);
  const Tensor y =
      blocked ? to.write(op.outputs[0], same_format(layouts[0], result)) : to.write_plain(op.outputs[0]);
  to.own("concat", parts, {y.buffer},
         [parts, y = y.buffer, runs = runs_of(shapes, op.attributes.axis, blocked)](Frame& frame) {
           float* at = frame.at(y);
           for (std::int64_t row = 0; row < runs.rows; ++row) {
             for (std::size_t part = 0; part < parts.size(); ++part) {
               copy_run(at, frame.at(parts[part]) + row * runs.lengths[part], runs.lengths[part]);
               at += runs.lengths[part];
             }
           }
         });
}

/// Parts keep the format of dy when it is blocked and every part fills its blocks.
void lower_split(Lowering& to, const FusedInstruction& op) {
  std::vector<Shape> shapes;
  for (const std::int64_t size : op.attributes.sizes) {
    shapes.push_back(to.shape(op.inputs[0]));
    shapes.back()[static_cast<std::size_t>(op.attributes.axis)] = size;
  }
  const Tensor dy = to.read(op.inputs[0]);
  std::vector<Layout> layouts{dy.layout};
  for (const Shape& shape : shapes) {
    layouts.push_back(shape.size() == 4 ? same_format(dy.layout, shape) : plain_layout(shape));
  }
  const bool blocked = shapes[0].size() == 4 && op.attributes.axis == 3 && joins_blocks(layouts);
  const BufferId from = blocked ? dy.buffer : to.read_plain(op.inputs[0]).buffer;
  std::vector<BufferId> parts, writes;
  for (std::size_t i = 0; i < op.outputs.size(); ++i) {
    const ValueId id = op.outputs[i];
    parts.push_back(id == kNone ? -1 : (blocked ? to.write(id, layouts[i + 1]) : to.write_plain(id)).buffer);
    if (id != kNone) writes.push_back(parts.back());
  }
  to.own("split", {from}, writes,
         [from, parts, runs = runs_of(shapes, op.attributes.axis, blocked)](Frame& frame) {
           const float* at = frame.at(from);
           for (std::int64_t row = 0; row < runs.rows; ++row) {
             for (std::size_t part = 0; part < parts.size(); ++part) {
               if (parts[part] >= 0)
                 copy_run(frame.at(parts[part]) + row * runs.lengths[part], at, runs.lengths[part]);
               at += runs.lengths[part];
             }
           }
         });
}

}  // namespace

void lower_shape(Lowering& to, const FusedInstruction& op) {
  switch (op.kind) {
    case Kind::kCopy: {
      const Value& result = to.value(op.outputs[0]);
      return to.define_as(op.outputs[0],
                          {plain_layout(result.shape, result.type), to.read_plain(op.inputs[0]).buffer});
    }
    case Kind::kConcat:
      return lower_concat(to, op);
    case Kind::kSplit:
      return lower_split(to, op);
    default:
      return lower_transpose(to, op);
  }
}

}  // namespace lepton::cpu
