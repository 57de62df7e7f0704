// Turns the instructions of a program into steps: keeps track of where each value lies and in which layout,
// and inserts reorders where layouts meet. The meaning of each kind is in the lower_*.cc files.
#pragma once

#include <dnnl.hpp>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "cpu/fusion.h"
#include "cpu/layout.h"
#include "cpu/step.h"
#include "graph/program.h"

namespace lepton::cpu {

struct Tensor {
  Layout layout;
  BufferId buffer = -1;
};

/// One argument of a library primitive.
struct Argument {
  int id;  // DNNL_ARG_...
  Tensor tensor;
  bool written = false;
};
inline Argument in(int id, Tensor tensor) { return {id, std::move(tensor), false}; }
inline Argument out(int id, Tensor tensor) { return {id, std::move(tensor), true}; }

/// What a forward instruction leaves for its gradient, beside values.
struct Memo {
  dnnl::pooling_forward::primitive_desc pooling;
  Tensor workspace;  // of max pooling: which element of each window won
};

class Lowering {
 public:
  Lowering(Program& program, const dnnl::engine& engine);

  /// Lowers everything. Throws EngineError naming the layer when the library refuses an instruction.
  void run();

  const std::vector<Buffer>& buffers() const { return buffers_; }
  std::vector<Step>& steps() { return steps_; }
  const dnnl::engine& engine() const { return engine_; }

  const Value& value(ValueId id) const { return program_.values[static_cast<std::size_t>(id)]; }
  const Shape& shape(ValueId id) const { return value(id).shape; }

  /// A value as it lies.
  Tensor read(ValueId id);
  /// A value in the wanted layout, reordered once if it lies in another.
  Tensor read(ValueId id, const Layout& wanted);
  Tensor read_plain(ValueId id);
  /// A value's plain bytes under other dimensions, row-major (for parameters too).
  Tensor read_as(ValueId id, const dnnl::memory::dims& dims);
  /// An image in a layout of channel blocks (see channel_blocks); a copy in NHWC if it lies otherwise.
  Tensor read_blocks(ValueId id);
  /// The same bytes or a reordered copy of them.
  Tensor convert(const Tensor& from, const Layout& wanted);

  /// Defines a value in this layout. If it is visible outside and plain is another layout, a reorder follows.
  Tensor write(ValueId id, const Layout& layout);
  /// The same for the gradient of a convolution's kernel, whose dimensions are not an image's: always ends up
  /// HWIO.
  Tensor write_kernel(ValueId id, const Layout& layout, const Layout& arena);
  Tensor write_plain(ValueId id);
  /// The plain buffer of a value that may be kNone, added to `list`; -1 where there is none.
  BufferId read_optional(ValueId id, std::vector<BufferId>& list);
  BufferId write_optional(ValueId id, std::vector<BufferId>& list);
  Tensor write_as(ValueId id, const dnnl::memory::dims& dims);
  /// Defines a value as the bytes of an existing tensor, without a step; copies only if the value is visible
  /// outside.
  void define_as(ValueId id, const Tensor& tensor);

  /// The layout in which an image of this shape was last written; NHWC when there was none.
  Layout usual(const Shape& shape) const;

  Tensor scratch(const Layout& layout);
  void may_replace(const Tensor& output, const std::vector<BufferId>& inputs);

  void own(std::string what, std::vector<BufferId> reads, std::vector<BufferId> writes,
           std::function<void(Frame&)> run);
  void library(std::string what, const dnnl::primitive& primitive, std::vector<Argument> arguments,
               const Layout& scratchpad, Share share = Share::kLibrary);

  /// Attributes that every primitive descriptor is made with: the scratchpad is ours.
  static dnnl::primitive_attr attributes();

  std::map<ValueId, Memo> memos;  // by the value that links forward and backward (argmax)

 private:
  void lower(const FusedInstruction& op);
  void reorder(const Tensor& from, const Tensor& into);
  BufferId bound_or_temporary(const Value& value, std::int64_t bytes);
  void deliver();

  struct Conversion {
    Layout from, to;
    BufferId buffer;
  };

  Program& program_;
  dnnl::engine engine_;
  std::vector<Buffer> buffers_;
  std::vector<Step> steps_;
  std::vector<Tensor> lies_;  // by ValueId; buffer -1 until defined
  std::map<Shape, Layout> usual_;
  std::unordered_map<BufferId, std::vector<Conversion>> conversions_;
  std::vector<std::pair<Tensor, Tensor>> deliveries_;  // reorders owed after the current instruction
  std::string node_;                                   // of the current instruction
};

// One function per family of kinds, in lower_*.cc.
void lower_dense(Lowering& to, const FusedInstruction& op);
void lower_convolution(Lowering& to, const FusedInstruction& op);
void lower_pooling(Lowering& to, const FusedInstruction& op);
void lower_batch_norm(Lowering& to, const FusedInstruction& op);
void lower_layer_norm(Lowering& to, const FusedInstruction& op);
void lower_elementwise(Lowering& to, const FusedInstruction& op);
void lower_shape(Lowering& to, const FusedInstruction& op);
void lower_embedding(Lowering& to, const FusedInstruction& op);
void lower_position_embedding(Lowering& to, const FusedInstruction& op);
void lower_attention(Lowering& to, const FusedInstruction& op);
void lower_softmax(Lowering& to, const FusedInstruction& op);
void lower_loss(Lowering& to, const FusedInstruction& op);

}  // namespace lepton::cpu
