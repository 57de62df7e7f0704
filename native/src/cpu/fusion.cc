// Peephole rewrites over the instruction list, by who writes and who reads each value. No kernels, no memory.
#include "cpu/fusion.h"

#include <algorithm>

namespace lepton::cpu {
namespace {

bool is_relu(const Instruction& op, Kind kind) {
  return op.kind == kind && op.attributes.activation == Activation::kRelu;
}

/// The list with an index of writers and readers. Positions stay valid: joined instructions are only marked.
class Rewriter {
 public:
  explicit Rewriter(Program& program) : program_(program) {
    for (std::size_t at = 0; at < program.instructions.size(); ++at) {
      FusedInstruction op{program.instructions[at]};
      if (at < program.ready_from.size()) op.ready_from = program.ready_from[at];
      // All activations but gelu are differentiated from their output alone.
      const auto activation = op.attributes.activation;
      if (op.kind == Kind::kActivationBackward && activation != Activation::kGelu &&
          activation != Activation::kGeluTanh) {
        op.inputs[0] = kNone;
      }
      list_.push_back(std::move(op));
    }
    index();
  }

  void join_forward() {
    for (std::size_t at = 0; at < list_.size(); ++at) {
      if (gone_[at] || !is_relu(list_[at], Kind::kActivation)) continue;
      const ValueId between = list_[at].inputs[0];
      const int writer = private_writer(between);
      if (writer < 0) continue;
      FusedInstruction& before = list_[static_cast<std::size_t>(writer)];
      if (before.outputs[0] != between) continue;
      switch (before.kind) {
        case Kind::kDense:
        case Kind::kConv2d:
        case Kind::kBatchNormTraining:
        case Kind::kBatchNormInference:
        case Kind::kAdd:
          before.relu = true;
          before.outputs[0] = list_[at].outputs[0];
          gone_[at] = true;
          break;
        default:
          break;
      }
    }
    index();
  }

  void join_batch_norm_backward() {
    for (std::size_t at = 0; at < list_.size(); ++at) {
      FusedInstruction& norm = list_[at];
      if (gone_[at] || norm.kind != Kind::kBatchNormBackward) continue;
      const int writer = private_writer(norm.inputs[1]);
      if (writer < 0) continue;
      const FusedInstruction& relu = list_[static_cast<std::size_t>(writer)];
      if (!is_relu(relu, Kind::kActivationBackward)) continue;
      const int forward = writer_[static_cast<std::size_t>(relu.inputs[1])];
      if (forward < 0) continue;
      const FusedInstruction& before = list_[static_cast<std::size_t>(forward)];
      const bool own_relu =
          before.kind == Kind::kBatchNormTraining && before.relu && before.outputs[1] == norm.inputs[3];
      if (!own_relu) continue;
      norm.relu = true;
      norm.relu_output = relu.inputs[1];
      norm.inputs[1] = relu.inputs[2];
      gone_[static_cast<std::size_t>(writer)] = true;
    }
    index();
  }

  void move_relu_past_pooling() {
    for (std::size_t at = 0; at < list_.size(); ++at) {
      FusedInstruction& relu = list_[at];
      if (gone_[at] || !is_relu(relu, Kind::kActivationBackward)) continue;
      const int writer = private_writer(relu.inputs[2]);
      if (writer < 0) continue;
      FusedInstruction& pooling = list_[static_cast<std::size_t>(writer)];
      if (pooling.kind != Kind::kMaxPooling2dBackward) continue;
      const int forward = writer_[static_cast<std::size_t>(pooling.inputs[1])];
      if (forward < 0 || list_[static_cast<std::size_t>(forward)].inputs[0] != relu.inputs[1]) continue;
      const ValueId pooled = list_[static_cast<std::size_t>(forward)].outputs[0];
      const ValueId between = pooling.outputs[0];
      const ValueId argmax = pooling.inputs[1], dy = pooling.inputs[0], dx = relu.outputs[0];
      program_.values[static_cast<std::size_t>(between)].shape =
          program_.values[static_cast<std::size_t>(pooled)].shape;
      std::swap(static_cast<Instruction&>(pooling), static_cast<Instruction&>(relu));
      pooling.inputs = {kNone, pooled, dy};
      pooling.outputs = {between};
      relu.inputs = {between, argmax};
      relu.outputs = {dx};
    }
    index();
  }

  std::vector<FusedInstruction> take() {
    std::vector<FusedInstruction> kept;
    for (std::size_t at = 0; at < list_.size(); ++at) {
      if (!gone_[at]) kept.push_back(std::move(list_[at]));
    }
    return kept;
  }

 private:
  void index() {
    gone_.resize(list_.size());
    writer_.assign(program_.values.size(), -1);
    reads_.assign(program_.values.size(), 0);
    for (std::size_t at = 0; at < list_.size(); ++at) {
      if (gone_[at]) continue;
      for (const ValueId id : list_[at].inputs) {
        if (id != kNone) ++reads_[static_cast<std::size_t>(id)];
      }
      for (const ValueId id : list_[at].outputs) {
        if (id != kNone) writer_[static_cast<std::size_t>(id)] = static_cast<int>(at);
      }
    }
  }

  /// Position of the instruction that writes `id`, if one place reads it and nobody outside sees it; else -1.
  int private_writer(ValueId id) const {
    const auto at = static_cast<std::size_t>(id);
    const bool seen = reads_[at] != 1 || program_.values[at].storage != Storage::kTemporary;
    return seen ? -1 : writer_[at];
  }

  Program& program_;
  std::vector<FusedInstruction> list_;
  std::vector<bool> gone_;
  std::vector<int> writer_, reads_;
};

}  // namespace

std::vector<FusedInstruction> fuse(Program& program) {
  Rewriter rewriter(program);
  rewriter.join_forward();
  rewriter.join_batch_norm_backward();
  rewriter.move_relu_past_pooling();
  return rewriter.take();
}

}  // namespace lepton::cpu
