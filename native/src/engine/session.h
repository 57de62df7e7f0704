// A net with its arenas and its compiled plans: one step is one call. Knows neither JavaScript nor threads.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "device/device.h"
#include "graph/compile.h"
#include "graph/graph.h"
#include "graph/layout.h"

namespace lepton {

struct SessionOptions {
  std::string device = "cpu";
  std::vector<LossSpec> losses;
  std::uint64_t seed = 0;
  std::uint64_t rank = 0;
  CompileOptions compile;
};

/// One array of a feed, as the caller has it; the session copies what it needs.
struct FeedArray {
  enum class Type : std::uint8_t { kFloat32, kFloat64, kInt32 };
  Type type;
  const void* data;
  std::size_t length;  // elements
};

struct StepRequest {
  Mode mode = Mode::kTrain;
  std::int64_t batch = 0;
  std::uint64_t step = 0;
  std::function<void(std::int64_t)> on_gradients;  // may be empty
};

class Session {
 public:
  /// Throws EngineError where the graph makes no sense: every mode is tried with a batch of one sample's
  /// shapes.
  Session(GraphSpec graph, SessionOptions options);

  const ArenaLayout& layout() const { return layout_; }
  const Signature& signature() const { return signature_; }
  std::size_t float_bytes() const { return device_.float_bytes(); }
  const std::shared_ptr<std::byte[]>& parameters() const { return parameters_; }
  const std::shared_ptr<std::byte[]>& gradients() const { return gradients_; }

  /// From the next run on parameters are read from here, gradients written there; each of the layout's
  /// length, and at a multiple of 64 bytes.
  void bind(std::shared_ptr<std::byte[]> parameters, std::shared_ptr<std::byte[]> gradients);

  /// Copies the feed in, so that the caller's arrays are free again. Throws EngineError for wrong counts,
  /// types, lengths, and whole numbers out of range (labels, indices of embeddings).
  void feed(const StepRequest& request, const std::vector<FeedArray>& inputs,
            const std::vector<FeedArray>& targets);
  /// Runs what was fed. Compiles the plan for (mode, batch) at its first use.
  void run(const StepRequest& request);

  // Of the last run.
  const std::vector<double>& losses() const { return loss_values_; }
  double loss() const;
  const std::shared_ptr<std::byte[]>& output(std::size_t index) const { return outputs_[index].memory; }
  std::size_t output_length(std::size_t index) const { return outputs_[index].length; }
  const Profile& profile() const { return profile_; }

 private:
  struct Slot {
    std::shared_ptr<std::byte[]> memory;
    std::size_t capacity = 0;  // bytes
    std::size_t length = 0;    // elements
  };

  Executable& plan(Mode mode, std::int64_t batch);
  void copy_in(Slot& slot, const FeedArray& from, DType type, std::size_t expected, std::int64_t limit,
               const std::string& name);
  void reserve_outputs(std::int64_t batch);

  GraphSpec graph_;
  SessionOptions options_;
  const Device& device_;
  ArenaLayout layout_;
  Signature signature_;
  std::shared_ptr<std::byte[]> parameters_;
  std::shared_ptr<std::byte[]> gradients_;
  std::map<std::pair<Mode, std::int64_t>, std::unique_ptr<Executable>> plans_;
  std::vector<Slot> inputs_;
  std::vector<Slot> targets_;
  std::vector<Slot> outputs_;
  std::vector<double> loss_values_;
  Profile profile_;
};

}  // namespace lepton
