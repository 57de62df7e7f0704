// Optimizers over a flat range: one fused pass over parameters, gradients and slots. Formulas are those of
// Keras 3 (keras/src/optimizers/{sgd,adam,adamw,rmsprop,base_optimizer}.py).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/aligned_buffer.h"
#include "engine/crew.h"

namespace lepton {

enum class OptimizerKind : std::uint8_t { kSgd, kAdam, kAdamW, kRmsprop };

struct OptimizerSpec {
  OptimizerKind kind = OptimizerKind::kSgd;
  double momentum = 0;
  bool nesterov = false;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-7;
  double weight_decay = 0;
  double rho = 0.9;
};

struct UpdateOptions {
  double learning_rate = 0;
  std::int64_t iteration = 1;  // counts from 1
  double scale = 1;            // gradients are multiplied by it
  double clip_value = 0;       // then clamped to [-clip_value, clip_value] when above 0
};

/// One worker's part of a sum over a range.
class Part {
 public:
  virtual ~Part() = default;
  /// sum[i] += this part's element start + i, counted from the beginning of the range, for `count` elements.
  /// Ranges are read in order, each element once; every `start` is a multiple of kBlock.
  virtual void add_to(float* sum, std::int64_t start, std::int64_t count) = 0;

  static constexpr std::int64_t kBlock = 4096;
};

/// Little-endian floats at any alignment, each times `weight`.
class PlainPart : public Part {
 public:
  PlainPart(const std::byte* values, float weight) : values_(values), weight_(weight) {}
  void add_to(float* sum, std::int64_t start, std::int64_t count) override;

 private:
  const std::byte* values_;
  float weight_;
};

/// How one range of the parameters gets from its contributions to the next version.
struct Advance {
  const float* sum = nullptr;  // of the whole length; null: zero
  std::vector<std::unique_ptr<Part>> parts;
  std::int64_t from = 0;
  std::int64_t to = 0;
  UpdateOptions options;
};

class Optimizer {
 public:
  struct Slot {
    std::string name;
    std::shared_ptr<float> values;  // `length` of them
  };

  Optimizer(const OptimizerSpec& spec, std::int64_t length);
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;
  /// Keeps the slots of two versions in `memory`, from an aligned place on: those of even versions one after
  /// the other, then those of odd ones, each `stride` floats after the one before. They are as the memory
  /// was.
  Optimizer(const OptimizerSpec& spec, std::int64_t length, const std::shared_ptr<std::byte[]>& memory,
            std::int64_t stride);

  static std::vector<std::string> slot_names(const OptimizerSpec& spec);

  /// Of even versions; of all where only the newest is kept.
  const std::vector<Slot>& slots() const { return slots_; }
  /// Of odd versions.
  const std::vector<Slot>& odd_slots() const { return keeps_two() ? odd_slots_ : slots_; }
  bool keeps_two() const { return keeps_two_; }
  std::int64_t length() const { return length_; }

  /// Elements [from, to) of all arrays, in place. Bounds, and that only the newest version is kept, are the
  /// caller's duty.
  void update(float* parameters, const float* gradients, std::int64_t from, std::int64_t to,
              const UpdateOptions& options);

  /// The same from sums that are not made yet: elements [from, to) of `next` become those of `previous`
  /// (which may be `next`), updated with sum + parts[0] + parts[1] + ... in this order, for ranges that do
  /// not overlap. In one pass over blocks that stay in the cache, with the bits of `accumulate` for each part
  /// and one `update`, however many threads share the ranges. Answers the index of the first whose sum is
  /// infinite or not a number somewhere, -1 for none: the state and `next` are of no use any more then. Where
  /// two versions are kept, the slots of version `iteration` - 1 stay as they are.
  std::int64_t advance(float* next, const float* previous, std::span<const Advance> ranges);

  /// Threads for `advance` beside the caller's. They are there from the first call that can use them.
  void share_with(std::int64_t helpers) { helpers_ = helpers; }

 private:
  bool advance_one(float* next, const float* previous, const Advance& range);
  void apply(const std::vector<Slot>& slots, float* parameters, const float* gradients, std::int64_t from,
             std::int64_t to, const UpdateOptions& options);

  OptimizerSpec spec_;
  std::int64_t length_;
  bool keeps_two_ = false;
  std::vector<Slot> slots_;
  std::vector<Slot> odd_slots_;
  std::int64_t helpers_ = 0;
  std::unique_ptr<Crew> crew_;
};

}  // namespace lepton
