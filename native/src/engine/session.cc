#include "engine/session.h"

#include <algorithm>
#include <cstring>

#include "engine/arena.h"
#include "graph/error.h"

namespace lepton {
namespace {

std::size_t size_of(FeedArray::Type type) { return type == FeedArray::Type::kFloat64 ? 8 : 4; }

const char* name_of(FeedArray::Type type) {
  switch (type) {
    case FeedArray::Type::kFloat32:
      return "Float32Array";
    case FeedArray::Type::kFloat64:
      return "Float64Array";
    default:
      return "Int32Array";
  }
}

template <class To, class From>
void convert(std::byte* to, const void* from, std::size_t length) {
  const auto* source = static_cast<const From*>(from);
  std::copy(source, source + length, reinterpret_cast<To*>(to));
}

void check_range(const FeedArray& array, std::int64_t limit, const std::string& name) {
  const auto* values = static_cast<const std::int32_t*>(array.data);
  for (std::size_t i = 0; i < array.length; ++i) {
    if (values[i] >= 0 && values[i] < limit) continue;
    throw EngineError("ENGINE_ARGUMENT",
                      name + ": value " + std::to_string(i) + ": expected a class label from 0 to " +
                          std::to_string(limit - 1) + ", got " + std::to_string(values[i]));
  }
}

void check_count(const char* what, std::size_t expected, std::size_t got) {
  if (expected == got) return;
  throw EngineError("ENGINE_ARGUMENT", std::string(what) + ": expected " + std::to_string(expected) +
                                           " arrays, got " + std::to_string(got));
}

}  // namespace

Session::Session(GraphSpec graph, SessionOptions options)
    : graph_(std::move(graph)),
      options_(std::move(options)),
      device_(device(options_.device)),
      layout_(arena_layout(graph_.parameters)),
      signature_(lepton::signature(graph_, options_.losses)),
      parameters_(allocate_arena(static_cast<std::size_t>(layout_.length) * device_.float_bytes())),
      gradients_(allocate_arena(static_cast<std::size_t>(layout_.length) * device_.float_bytes())),
      inputs_(graph_.inputs.size()),
      targets_(options_.losses.size()),
      outputs_(graph_.outputs.size()),
      loss_values_(options_.losses.size(), 0.0) {}

void Session::bind(std::shared_ptr<std::byte[]> parameters, std::shared_ptr<std::byte[]> gradients) {
  parameters_ = std::move(parameters);
  gradients_ = std::move(gradients);
}

void Session::feed(const StepRequest& request, const std::vector<FeedArray>& inputs,
                   const std::vector<FeedArray>& targets) {
  const bool predicts = request.mode == Mode::kPredict;
  if (!predicts && options_.losses.empty()) {
    throw EngineError("ENGINE_ARGUMENT", "this model has no losses: it can only predict");
  }
  check_count("inputs", inputs_.size(), inputs.size());
  check_count("targets", predicts ? 0 : targets_.size(), targets.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const InputSpec& spec = graph_.inputs[i];
    const auto expected = static_cast<std::size_t>(request.batch * elements(spec.shape));
    copy_in(inputs_[i], inputs[i], spec.type, expected, signature_.index_limits[i],
            "input '" + spec.name + "'");
  }
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const Signature::Target& target = signature_.targets[i];
    const auto expected = static_cast<std::size_t>(request.batch * elements(target.shape));
    copy_in(targets_[i], targets[i], target.type, expected, target.classes,
            "target of '" + options_.losses[i].output + "'");
  }
}

void Session::copy_in(Slot& slot, const FeedArray& from, DType type, std::size_t expected, std::int64_t limit,
                      const std::string& name) {
  const bool whole = from.type == FeedArray::Type::kInt32;
  if (whole != (type == DType::kInt32)) {
    throw EngineError("ENGINE_ARGUMENT", name + ": expected " +
                                             (type == DType::kInt32 ? "Int32Array" : "floats") + ", got " +
                                             name_of(from.type));
  }
  if (from.length != expected) {
    throw EngineError("ENGINE_ARGUMENT", name + ": expected " + std::to_string(expected) + " values, got " +
                                             std::to_string(from.length));
  }
  if (whole && limit > 0) check_range(from, limit, name);
  const std::size_t unit = whole ? 4 : device_.float_bytes();
  if (slot.capacity < expected * unit) {
    slot.memory = allocate_arena(expected * unit);
    slot.capacity = expected * unit;
  }
  slot.length = expected;
  if (whole || size_of(from.type) == unit) {
    if (expected > 0) std::memcpy(slot.memory.get(), from.data, expected * unit);
  } else if (unit == 8) {
    convert<double, float>(slot.memory.get(), from.data, expected);
  } else {
    convert<float, double>(slot.memory.get(), from.data, expected);
  }
}

void Session::reserve_outputs(std::int64_t batch) {
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    Slot& slot = outputs_[i];
    slot.length = static_cast<std::size_t>(batch * elements(signature_.outputs[i]));
    const std::size_t bytes = slot.length * device_.float_bytes();
    if (slot.capacity >= bytes) continue;
    slot.memory = allocate_arena(bytes);
    slot.capacity = bytes;
  }
}

Executable& Session::plan(Mode mode, std::int64_t batch) {
  auto& executable = plans_[{mode, batch}];
  if (!executable) {
    executable = device_.compile(compile(graph_, layout_, options_.losses, mode, batch), options_.compile);
  }
  return *executable;
}

void Session::run(const StepRequest& request) {
  Executable& executable = plan(request.mode, request.batch);
  reserve_outputs(request.batch);
  Bindings bindings;
  for (const Slot& slot : inputs_) bindings.inputs.push_back(slot.memory.get());
  if (request.mode != Mode::kPredict) {
    for (const Slot& slot : targets_) bindings.targets.push_back(slot.memory.get());
    bindings.losses = loss_values_;
  }
  for (const Slot& slot : outputs_) bindings.outputs.push_back(slot.memory.get());
  bindings.parameters = parameters_.get();
  bindings.gradients = gradients_.get();
  bindings.seed = options_.seed;
  bindings.step = request.step;
  bindings.rank = options_.rank;
  bindings.on_gradients = request.on_gradients;
  executable.run(bindings);
  profile_ = executable.profile();
}

double Session::loss() const {
  double sum = 0;
  for (std::size_t i = 0; i < loss_values_.size(); ++i) sum += options_.losses[i].weight * loss_values_[i];
  return sum;
}

}  // namespace lepton
