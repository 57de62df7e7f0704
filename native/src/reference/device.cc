// The reference device: runs a program instruction by instruction in double. The oracle of every other
// device.
#include "device/device.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "reference/kernels.h"

namespace lepton {
namespace {

using reference::Frame;
using reference::Operand;

class ReferenceExecutable final : public Executable {
 public:
  explicit ReferenceExecutable(Program program) : program_(std::move(program)), own_(program_.values.size()) {
    for (std::size_t i = 0; i < own_.size(); ++i) {
      const Value& value = program_.values[i];
      if (value.storage == Storage::kTemporary)
        own_[i].resize(static_cast<std::size_t>(elements(value.shape)));
    }
  }

  void run(const Bindings& bindings) override {
    std::int64_t announced = -1;
    for (std::size_t i = 0; i < program_.instructions.size(); ++i) {
      const Instruction& instruction = program_.instructions[i];
      const DropoutMask mask{bindings.seed, bindings.step, bindings.rank, instruction.attributes.node};
      reference::find_kernel(instruction.kind)(Frame(instruction, operands(instruction.inputs, bindings),
                                                     operands(instruction.outputs, bindings), mask));
      if (program_.ready_from.empty() || !bindings.on_gradients || program_.ready_from[i] == announced)
        continue;
      announced = program_.ready_from[i];
      bindings.on_gradients(announced);
    }
  }

  std::int64_t workspace_bytes() const override {
    std::int64_t bytes = 0;
    for (const std::vector<double>& value : own_)
      bytes += static_cast<std::int64_t>(value.size() * sizeof(double));
    return bytes;
  }
  Profile profile() const override { return {}; }

 private:
  std::vector<Operand> operands(const std::vector<ValueId>& ids, const Bindings& bindings) {
    std::vector<Operand> result;
    for (const ValueId id : ids) {
      if (id == kNone) {
        result.push_back({});
      } else {
        result.push_back({address(id, bindings), &program_.values[static_cast<std::size_t>(id)].shape});
      }
    }
    return result;
  }

  void* address(ValueId id, const Bindings& bindings) {
    const Value& value = program_.values[static_cast<std::size_t>(id)];
    const auto index = static_cast<std::size_t>(value.index);
    switch (value.storage) {
      case Storage::kInput:
        return const_cast<void*>(bindings.inputs[index]);
      case Storage::kTarget:
        return const_cast<void*>(bindings.targets[index]);
      case Storage::kParameter:
        return static_cast<double*>(bindings.parameters) + value.offset;
      case Storage::kGradient:
      case Storage::kNewState:
        return static_cast<double*>(bindings.gradients) + value.offset;
      case Storage::kOutput:
        return bindings.outputs[index];
      case Storage::kLoss:
        return &bindings.losses[index];
      case Storage::kTemporary:
        return own_[static_cast<std::size_t>(id)].data();
    }
    return nullptr;
  }

  Program program_;
  std::vector<std::vector<double>> own_;  // temporaries; int32 ones use half of theirs
};

class ReferenceDevice final : public Device {
 public:
  std::string_view name() const override { return "reference"; }
  std::string library() const override { return ""; }
  std::string isa() const override { return "scalar"; }
  bool supports(Kind) const override { return true; }
  std::size_t float_bytes() const override { return sizeof(double); }
  std::unique_ptr<Executable> compile(Program program, const CompileOptions&) const override {
    return std::make_unique<ReferenceExecutable>(std::move(program));
  }
};

}  // namespace

const Device& reference_device() {
  static const ReferenceDevice device;
  return device;
}

}  // namespace lepton
