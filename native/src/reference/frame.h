// What a reference kernel sees of a run: plain row-major arrays of double, int32 as such. Kernels are plain
// loops, written to be read and trusted, not to be fast.
#pragma once

#include <cstdint>
#include <vector>

#include "graph/program.h"
#include "ops/philox.h"

namespace lepton::reference {

struct Operand {
  void* data = nullptr;  // null for kNone
  const Shape* shape = nullptr;
};

class Frame {
 public:
  Frame(const Instruction& instruction, std::vector<Operand> inputs, std::vector<Operand> outputs,
        DropoutMask mask)
      : instruction_(instruction), inputs_(std::move(inputs)), outputs_(std::move(outputs)), mask_(mask) {}

  const Attributes& attributes() const { return instruction_.attributes; }
  Kind kind() const { return instruction_.kind; }
  std::size_t input_count() const { return inputs_.size(); }
  std::size_t output_count() const { return outputs_.size(); }
  const double* input(std::size_t i) const { return static_cast<const double*>(inputs_[i].data); }
  const std::int32_t* input_int32(std::size_t i) const {
    return static_cast<const std::int32_t*>(inputs_[i].data);
  }
  double* output(std::size_t i) const { return static_cast<double*>(outputs_[i].data); }
  std::int32_t* output_int32(std::size_t i) const { return static_cast<std::int32_t*>(outputs_[i].data); }
  const Shape& input_shape(std::size_t i) const { return *inputs_[i].shape; }
  const Shape& output_shape(std::size_t i) const { return *outputs_[i].shape; }
  const DropoutMask& mask() const { return mask_; }

 private:
  const Instruction& instruction_;
  std::vector<Operand> inputs_;
  std::vector<Operand> outputs_;
  DropoutMask mask_;
};

/// Elements of all dimensions but the last, and of the last.
inline std::int64_t rows(const Shape& shape) { return elements(shape) / shape.back(); }
inline std::int64_t columns(const Shape& shape) { return shape.back(); }

}  // namespace lepton::reference
