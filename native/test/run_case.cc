#include "run_case.h"

#include <limits>

namespace lepton::test {

CaseRunner::CaseRunner(const OpCase& net, const Device& device, Mode mode)
    : net_(net), device_(device), layout_(arena_layout(net.graph.parameters)) {
  const auto arena_bytes = static_cast<std::size_t>(layout_.length) * device.float_bytes();
  parameters_ = AlignedBuffer(arena_bytes);
  gradients_ = AlignedBuffer(arena_bytes);
  // A gradient that nobody writes shows up as NaN.
  for (std::int64_t i = 0; i < layout_.length; ++i)
    write(gradients_, i, std::numeric_limits<double>::quiet_NaN());
  for (const ArenaEntry& entry : layout_.entries) {
    for (std::size_t p = 0; p < net.graph.parameters.size(); ++p) {
      if (net.graph.parameters[p].name != entry.name) continue;
      for (std::int64_t i = 0; i < entry.length; ++i) {
        set_parameter(entry, i, net.parameters[p][static_cast<std::size_t>(i)]);
      }
    }
  }
  const Signature interface = signature(net.graph, net.losses);
  for (std::size_t i = 0; i < net.inputs.size(); ++i) {
    inputs_.push_back(fill(net.inputs[i], net.graph.inputs[i].type));
  }
  for (std::size_t i = 0; i < net.targets.size(); ++i) {
    targets_.push_back(fill(net.targets[i], interface.targets[i].type));
  }
  for (const Shape& shape : interface.outputs) {
    outputs_.emplace_back(static_cast<std::size_t>(net.batch * elements(shape)) * device.float_bytes());
  }
  losses_.resize(net.losses.size());
  executable_ = device.compile(compile(net.graph, layout_, net.losses, mode, net.batch), {});
}

double CaseRunner::run(std::uint64_t step) {
  Bindings bindings;
  for (const AlignedBuffer& input : inputs_) bindings.inputs.push_back(input.data());
  for (const AlignedBuffer& target : targets_) bindings.targets.push_back(target.data());
  for (const AlignedBuffer& output : outputs_) bindings.outputs.push_back(output.data());
  bindings.parameters = parameters_.data();
  bindings.gradients = gradients_.data();
  bindings.losses = losses_;
  bindings.seed = 11;
  bindings.step = step;
  bindings.rank = 2;
  announced_.clear();
  bindings.on_gradients = [this](std::int64_t from) { announced_.push_back(from); };
  executable_->run(bindings);
  double total = 0;
  for (std::size_t i = 0; i < losses_.size(); ++i) total += net_.losses[i].weight * losses_[i];
  return total;
}

double CaseRunner::read(const AlignedBuffer& buffer, std::int64_t i) const {
  if (device_.float_bytes() == sizeof(double)) return static_cast<const double*>(buffer.data())[i];
  return static_cast<const float*>(buffer.data())[i];
}

void CaseRunner::write(AlignedBuffer& buffer, std::int64_t i, double value) const {
  if (device_.float_bytes() == sizeof(double)) {
    static_cast<double*>(buffer.data())[i] = value;
  } else {
    static_cast<float*>(buffer.data())[i] = static_cast<float>(value);
  }
}

AlignedBuffer CaseRunner::fill(const std::vector<double>& values, DType type) const {
  AlignedBuffer buffer(values.size() *
                       (type == DType::kInt32 ? sizeof(std::int32_t) : device_.float_bytes()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (type == DType::kInt32) {
      static_cast<std::int32_t*>(buffer.data())[i] = static_cast<std::int32_t>(values[i]);
    } else {
      write(buffer, static_cast<std::int64_t>(i), values[i]);
    }
  }
  return buffer;
}

void CaseRunner::set_parameter(const ArenaEntry& entry, std::int64_t i, double value) {
  write(parameters_, entry.offset + i, value);
}

std::vector<double> CaseRunner::gradient(const ArenaEntry& entry) const {
  std::vector<double> values;
  for (std::int64_t i = 0; i < entry.length; ++i) values.push_back(read(gradients_, entry.offset + i));
  return values;
}

std::vector<double> CaseRunner::output(std::size_t index) const {
  std::vector<double> values(outputs_[index].bytes() / device_.float_bytes());
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = read(outputs_[index], static_cast<std::int64_t>(i));
  return values;
}

}  // namespace lepton::test
