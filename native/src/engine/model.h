// A net with its arenas: plans compiled once per (mode, batch size) and kept, run on whichever thread calls.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "device/device.h"
#include "engine/aligned_buffer.h"
#include "graph/compile.h"

namespace lepton {

struct ModelOptions {
  const Device* device = nullptr;
  std::vector<LossSpec> losses;
  std::uint64_t seed = 0;
  std::uint64_t rank = 0;
  int threads = 1;
  bool profile = false;
};

/// What one run reads and writes besides the arenas. Sizes are the caller's duty (see Signature).
struct Run {
  Mode mode = Mode::kPredict;
  std::int64_t batch = 1;
  std::uint64_t step = 0;
  std::vector<const void*> inputs;
  std::vector<const void*> targets;
  std::vector<void*> outputs;
  std::function<void(std::int64_t)> on_gradients;  // may be empty
};

struct RunResult {
  double loss = 0;  // weighted sum
  std::vector<double> losses;
  std::int64_t nanoseconds = 0;  // of the whole run
  Profile profile;
};

class Model {
 public:
  /// Throws EngineError for a graph or losses that make no sense.
  Model(GraphSpec graph, ModelOptions options);

  const GraphSpec& graph() const { return graph_; }
  const ArenaLayout& layout() const { return layout_; }
  const Signature& interface() const { return signature_; }
  const ModelOptions& options() const { return options_; }
  const std::shared_ptr<AlignedBuffer>& parameters() const { return parameters_; }
  const std::shared_ptr<AlignedBuffer>& gradients() const { return gradients_; }

  /// One thread at a time. Compiles the plan at its first use. Throws EngineError.
  RunResult run(const Run& run);

 private:
  struct Plan {
    Mode mode;
    std::int64_t batch;
    std::unique_ptr<Executable> executable;
    std::vector<const ArenaEntry*> untouched;  // entries that no instruction of a training program writes
  };

  Plan& plan(Mode mode, std::int64_t batch);
  void fill_untouched(const Plan& plan);

  GraphSpec graph_;
  ModelOptions options_;
  ArenaLayout layout_;
  Signature signature_;
  std::shared_ptr<AlignedBuffer> parameters_;
  std::shared_ptr<AlignedBuffer> gradients_;
  std::list<Plan> plans_;  // most recently used first
};

}  // namespace lepton
