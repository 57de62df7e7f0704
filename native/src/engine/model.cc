#include "engine/model.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <unordered_set>
#include <utility>

#include "graph/error.h"

namespace lepton {
namespace {

// Training, evaluation and prediction, each with a full and a last batch, and some to spare.
constexpr std::size_t kMaxPlans = 12;

std::vector<const ArenaEntry*> entries_not_written(const Program& program, const ArenaLayout& layout) {
  std::unordered_set<std::int64_t> written;
  for (const Instruction& instruction : program.instructions) {
    for (const ValueId id : instruction.outputs) {
      if (id == kNone) continue;
      const Value& value = program.values[static_cast<std::size_t>(id)];
      if (value.storage == Storage::kGradient || value.storage == Storage::kNewState)
        written.insert(value.offset);
    }
  }
  std::vector<const ArenaEntry*> rest;
  for (const ArenaEntry& entry : layout.entries) {
    if (!written.contains(entry.offset)) rest.push_back(&entry);
  }
  return rest;
}

}  // namespace

Model::Model(GraphSpec graph, ModelOptions options)
    : graph_(std::move(graph)),
      options_(std::move(options)),
      layout_(arena_layout(graph_.parameters)),
      signature_(signature(graph_, options_.losses)) {
  for (std::size_t i = 0; i < options_.losses.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (options_.losses[i].output != options_.losses[j].output) continue;
      throw EngineError("ENGINE_ARGUMENT",
                        "loss on '" + options_.losses[i].output + "': the output has two losses");
    }
  }
  const std::size_t bytes = static_cast<std::size_t>(layout_.length) * options_.device->float_bytes();
  parameters_ = std::make_shared<AlignedBuffer>(bytes);
  gradients_ = std::make_shared<AlignedBuffer>(bytes);
}

RunResult Model::run(const Run& run) {
  const Plan& plan = this->plan(run.mode, run.batch);
  const auto start = std::chrono::steady_clock::now();
  RunResult result;
  result.losses.assign(run.mode == Mode::kPredict ? 0 : options_.losses.size(), 0.0);
  std::int64_t announced = -1;
  Bindings bindings;
  bindings.inputs = run.inputs;
  bindings.targets = run.targets;
  bindings.outputs = run.outputs;
  bindings.parameters = parameters_->data();
  bindings.gradients = gradients_->data();
  bindings.losses = result.losses;
  bindings.seed = options_.seed;
  bindings.step = run.step;
  bindings.rank = options_.rank;
  if (run.on_gradients) {
    bindings.on_gradients = [&](std::int64_t from) {
      if (from == announced) return;
      announced = from;
      run.on_gradients(from);
    };
  }
  // Before the run: its first announcements may already cover these entries.
  if (run.mode == Mode::kTrain) fill_untouched(plan);
  plan.executable->run(bindings);
  if (run.mode == Mode::kTrain && bindings.on_gradients) bindings.on_gradients(0);
  for (std::size_t i = 0; i < result.losses.size(); ++i)
    result.loss += options_.losses[i].weight * result.losses[i];
  result.nanoseconds = (std::chrono::steady_clock::now() - start) / std::chrono::nanoseconds(1);
  result.profile = plan.executable->profile();
  return result;
}

Model::Plan& Model::plan(Mode mode, std::int64_t batch) {
  const auto found = std::find_if(plans_.begin(), plans_.end(),
                                  [&](const Plan& p) { return p.mode == mode && p.batch == batch; });
  if (found != plans_.end()) {
    plans_.splice(plans_.begin(), plans_, found);
    return plans_.front();
  }
  Program program = compile(graph_, layout_, options_.losses, mode, batch);
  Plan plan{mode, batch, nullptr, {}};
  if (mode == Mode::kTrain) plan.untouched = entries_not_written(program, layout_);
  plan.executable = options_.device->compile(std::move(program), {options_.threads, options_.profile});
  plans_.push_front(std::move(plan));
  if (plans_.size() > kMaxPlans) plans_.pop_back();
  return plans_.front();
}

// Parameters that the losses do not depend on have gradient 0; state that nobody moves keeps its value.
void Model::fill_untouched(const Plan& plan) {
  const std::size_t size = options_.device->float_bytes();
  for (const ArenaEntry* entry : plan.untouched) {
    const std::size_t start = static_cast<std::size_t>(entry->offset) * size;
    const std::size_t bytes = static_cast<std::size_t>(entry->length) * size;
    auto* to = static_cast<std::byte*>(gradients_->data()) + start;
    if (entry->trainable) {
      std::memset(to, 0, bytes);
    } else {
      std::memcpy(to, static_cast<const std::byte*>(parameters_->data()) + start, bytes);
    }
  }
}

}  // namespace lepton
