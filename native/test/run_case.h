// Runs a case on a device: compiles it once, then takes numbers in and out as double.
#pragma once

#include <memory>
#include <vector>

#include "device/device.h"
#include "engine/aligned_buffer.h"
#include "graph/compile.h"
#include "op_cases.h"

namespace lepton::test {

class CaseRunner {
 public:
  CaseRunner(const OpCase& net, const Device& device, Mode mode);

  /// Weighted sum of the losses at the current parameters.
  double run(std::uint64_t step = 3);

  double parameter(const ArenaEntry& entry, std::int64_t i) const {
    return read(parameters_, entry.offset + i);
  }
  void set_parameter(const ArenaEntry& entry, std::int64_t i, double value);
  /// Gradient, or next value of the state, of one entry after a run.
  std::vector<double> gradient(const ArenaEntry& entry) const;
  std::vector<double> output(std::size_t index) const;
  const ArenaLayout& layout() const { return layout_; }
  const std::vector<std::int64_t>& announced() const { return announced_; }

 private:
  double read(const AlignedBuffer& buffer, std::int64_t i) const;
  void write(AlignedBuffer& buffer, std::int64_t i, double value) const;
  AlignedBuffer fill(const std::vector<double>& values, DType type) const;

  const OpCase& net_;
  const Device& device_;
  ArenaLayout layout_;
  AlignedBuffer parameters_, gradients_;
  std::vector<AlignedBuffer> inputs_, targets_, outputs_;
  std::vector<double> losses_;
  std::vector<std::int64_t> announced_;
  std::unique_ptr<Executable> executable_;
};

}  // namespace lepton::test
