// One run of a compiled program on the engine's thread.
#include "cpu/executable.h"

#include <omp.h>

#include <array>
#include <chrono>

#include "cpu/machine.h"
#include "graph/error.h"

namespace lepton::cpu {

CpuExecutable::CpuExecutable(std::vector<Buffer> buffers, std::vector<Step> steps, const dnnl::engine& engine,
                             const CompileOptions& options)
    : buffers_(std::move(buffers)),
      steps_(std::move(steps)),
      plan_(plan_memory(buffers_, steps_)),
      options_(options) {
  frame_.pointers.resize(buffers_.size());
  frame_.threads = options.threads;
  frame_.stream = dnnl::stream(engine);
}

namespace {

void* shifted(void* arena, std::int64_t elements) { return static_cast<float*>(arena) + elements; }

void* address(const Buffer& buffer, const Bindings& bindings) {
  const auto index = static_cast<std::size_t>(buffer.index);
  switch (buffer.storage) {
    case Storage::kInput:
      return const_cast<void*>(bindings.inputs[index]);
    case Storage::kTarget:
      return const_cast<void*>(bindings.targets[index]);
    case Storage::kParameter:
      return shifted(bindings.parameters, buffer.offset);
    case Storage::kGradient:
    case Storage::kNewState:
      return shifted(bindings.gradients, buffer.offset);
    case Storage::kOutput:
      return bindings.outputs[index];
    default:
      return nullptr;
  }
}

}  // namespace

void CpuExecutable::bind(const Bindings& bindings) {
  std::byte* workspace = thread_workspace(plan_.bytes);
  for (std::size_t id = 0; id < buffers_.size(); ++id) {
    const bool temporary = buffers_[id].storage == Storage::kTemporary;
    frame_.pointers[id] = temporary ? workspace + plan_.offsets[id] : address(buffers_[id], bindings);
  }
  frame_.losses = bindings.losses;
  frame_.seed = bindings.seed;
  frame_.step = bindings.step;
  frame_.rank = bindings.rank;
}

void CpuExecutable::run(const Bindings& bindings) {
  const MachineScope scope(options_.threads);
  bind(bindings);
  try {
    run_steps(bindings);
    frame_.stream.wait();
  } catch (const dnnl::error& error) {
    throw EngineError("ENGINE_INTERNAL", std::string("oneDNN could not run a step: ") + error.what());
  }
}

void CpuExecutable::run_steps(const Bindings& bindings) {
  using Clock = std::chrono::steady_clock;
  std::array<std::int64_t, 3> spent{};
  std::int64_t announced = -1;
  for (Step& step : steps_) {
    if (options_.profile) {
      const auto start = Clock::now();
      step.run(frame_);
      spent[static_cast<std::size_t>(step.share)] +=
          std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
    } else {
      step.run(frame_);
    }
    if (step.ready_from < 0 || step.ready_from == announced || !bindings.on_gradients) continue;
    announced = step.ready_from;
    bindings.on_gradients(announced);
  }
  profile_ = {spent[0], spent[1], spent[2]};
}

}  // namespace lepton::cpu
