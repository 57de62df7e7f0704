#include "graph/builder.h"

#include <algorithm>
#include <limits>

#include "graph/error.h"

namespace lepton {
namespace {

Shape with_batch(std::int64_t batch, const Shape& shape) {
  Shape result{batch};
  result.insert(result.end(), shape.begin(), shape.end());
  return result;
}

}  // namespace

Builder::Builder(const GraphSpec& graph, const ArenaLayout& layout, Mode mode, std::int64_t batch)
    : graph_(graph),
      layout_(layout),
      mode_(mode),
      inputs_(graph.inputs.size(), kNone),
      parameters_(graph.parameters.size(), kNone),
      uses_(graph.parameters.size(), 0),
      shared_gradients_(graph.parameters.size()) {
  program_.batch = batch;
  for (const ParameterSpec& parameter : graph.parameters) {
    const auto entry =
        std::find_if(layout.entries.begin(), layout.entries.end(),
                     [&](const ArenaEntry& candidate) { return candidate.name == parameter.name; });
    entries_.push_back(&*entry);
  }
}

ValueId Builder::add(Value value) {
  program_.values.push_back(std::move(value));
  needs_gradient_.push_back(false);
  contributions_.emplace_back();
  return static_cast<ValueId>(program_.values.size() - 1);
}

ValueId Builder::temporary(Shape shape, const std::string& name, DType type) {
  return add({.shape = std::move(shape), .type = type, .name = name});
}

ValueId Builder::input(std::size_t index) {
  if (inputs_[index] == kNone) {
    const InputSpec& spec = graph_.inputs[index];
    inputs_[index] = add({.shape = with_batch(program_.batch, spec.shape),
                          .type = spec.type,
                          .storage = Storage::kInput,
                          .index = static_cast<std::int64_t>(index),
                          .name = spec.name});
  }
  return inputs_[index];
}

ValueId Builder::target(std::size_t index, Shape shape, DType type) {
  return add({.shape = std::move(shape),
              .type = type,
              .storage = Storage::kTarget,
              .index = static_cast<std::int64_t>(index),
              .name = "target" + std::to_string(index)});
}

ValueId Builder::loss(std::size_t index) {
  return add({.shape = {1},
              .storage = Storage::kLoss,
              .index = static_cast<std::int64_t>(index),
              .name = "loss" + std::to_string(index)});
}

ValueId Builder::parameter(std::size_t index) {
  if (parameters_[index] == kNone) {
    const ArenaEntry& entry = *entries_[index];
    parameters_[index] = add(
        {.shape = entry.shape, .storage = Storage::kParameter, .offset = entry.offset, .name = entry.name});
  }
  return parameters_[index];
}

ValueId Builder::new_state(std::size_t index) {
  const ArenaEntry& entry = *entries_[index];
  return add({.shape = entry.shape,
              .storage = Storage::kNewState,
              .offset = entry.offset,
              .name = "new " + entry.name});
}

void Builder::emit(Kind kind, std::vector<ValueId> inputs, std::vector<ValueId> outputs,
                   const Attributes& attributes, const std::string& node) {
  program_.instructions.push_back({kind, std::move(inputs), std::move(outputs), attributes, node});
}

void Builder::emit(Kind kind, std::vector<ValueId> inputs, std::vector<ValueId> outputs, const Node& node) {
  emit(kind, std::move(inputs), std::move(outputs), node.attributes, node.spec->name);
}

void Builder::emit_output(Kind kind, std::vector<ValueId> inputs, Node& node) {
  node.output = temporary(node.shape, node.spec->name);
  emit(kind, std::move(inputs), {node.output}, node);
}

ValueId Builder::input_gradient(ValueId of) {
  if (!needs_gradient(of)) return kNone;
  const ValueId gradient = temporary(value(of).shape, "d " + value(of).name);
  add_gradient(of, gradient);
  return gradient;
}

void Builder::add_gradient(ValueId of, ValueId gradient) {
  if (needs_gradient(of)) contributions_[static_cast<std::size_t>(of)].push_back(gradient);
}

ValueId Builder::parameter_gradient(const Node& node, std::size_t position) {
  if (position >= node.parameter_indices.size()) return kNone;
  const std::size_t index = node.parameter_indices[position];
  if (!trainable(index)) return kNone;
  const ArenaEntry& entry = *entries_[index];
  if (uses_[index] > 1) {
    shared_gradients_[index].push_back(temporary(entry.shape, "d " + entry.name));
    return shared_gradients_[index].back();
  }
  return add({.shape = entry.shape,
              .storage = Storage::kGradient,
              .offset = entry.offset,
              .name = "d " + entry.name});
}

ValueId Builder::gradient(ValueId of, const std::string& node) {
  const std::vector<ValueId> parts = contributions_[static_cast<std::size_t>(of)];
  if (parts.empty()) return kNone;
  if (parts.size() == 1) return parts.front();
  const ValueId sum = temporary(value(of).shape, "d " + value(of).name);
  emit(Kind::kSum, parts, {sum}, Attributes{}, node);
  return sum;
}

void Builder::set_output(std::size_t index, ValueId id) {
  Value& produced = program_.values[static_cast<std::size_t>(id)];
  if (produced.storage == Storage::kTemporary) {
    produced.storage = Storage::kOutput;
    produced.index = static_cast<std::int64_t>(index);
    return;
  }
  Value copy = produced;
  copy.storage = Storage::kOutput;
  copy.index = static_cast<std::int64_t>(index);
  emit(Kind::kCopy, {id}, {add(copy)}, Attributes{}, graph_.outputs[index]);
}

Program Builder::finish() {
  if (training()) {
    sum_shared_gradients();
    fill_ready_from();
  }
  return std::move(program_);
}

void Builder::sum_shared_gradients() {
  for (std::size_t i = entries_.size(); i-- > 0;) {
    const std::vector<ValueId>& parts = shared_gradients_[i];
    if (parts.empty()) continue;
    const ArenaEntry& entry = *entries_[i];
    const ValueId sum = add({.shape = entry.shape,
                             .storage = Storage::kGradient,
                             .offset = entry.offset,
                             .name = "d " + entry.name});
    emit(parts.size() == 1 ? Kind::kCopy : Kind::kSum, parts, {sum}, Attributes{}, entry.name);
  }
}

// The watermark falls to the start of the lowest entry that, with all entries above it, needs no later write.
void Builder::fill_ready_from() {
  const std::size_t count = program_.instructions.size();
  std::vector<std::size_t> last_write(layout_.entries.size(), 0);
  for (std::size_t i = 0; i < count; ++i) {
    for (const ValueId id : program_.instructions[i].outputs) {
      if (id == kNone || value(id).storage != Storage::kGradient) continue;
      for (std::size_t e = 0; e < layout_.entries.size(); ++e) {
        if (layout_.entries[e].offset == value(id).offset) last_write[e] = i;
      }
    }
  }
  program_.ready_from.assign(count, 0);
  std::size_t lowest = static_cast<std::size_t>(std::count_if(
      layout_.entries.begin(), layout_.entries.end(), [](const ArenaEntry& e) { return e.trainable; }));
  std::int64_t ready = layout_.trainable_length;
  for (std::size_t i = 0; i < count; ++i) {
    while (lowest > 0 && last_write[lowest - 1] <= i) ready = layout_.entries[--lowest].offset;
    program_.ready_from[i] = ready;
  }
}

}  // namespace lepton
