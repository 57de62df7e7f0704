// Everything the engine knows about hardware: a device compiles a Program into something that runs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/program.h"

namespace lepton {

/// Bytes of one run. Pointers stay valid for the run; element size is the device's (float or double; int32 as
/// such).
struct Bindings {
  std::vector<const void*> inputs;
  std::vector<const void*> targets;
  void* parameters = nullptr;  // arena
  void* gradients = nullptr;   // arena; may be null for programs without backward
  std::vector<void*> outputs;  // where each graph output is written, plain row-major
  std::span<double> losses;    // one per loss: the mean, before LossSpec::weight
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  std::uint64_t rank = 0;
  /// Called on the engine's thread whenever Program::ready_from falls. May be empty.
  std::function<void(std::int64_t)> on_gradients;
};

/// Nanoseconds of one run, by where they were spent.
struct Profile {
  std::int64_t library = 0;  // oneDNN primitives
  std::int64_t own = 0;      // our kernels
  std::int64_t reorder = 0;  // layout changes
};

class Executable {
 public:
  virtual ~Executable() = default;
  /// Runs all instructions. Called by one thread at a time, always the engine's. Throws EngineError.
  virtual void run(const Bindings& bindings) = 0;
  virtual std::int64_t workspace_bytes() const = 0;
  virtual Profile profile() const = 0;  // of the last run; zero unless profiling was asked for
};

struct CompileOptions {
  int threads = 1;
  bool profile = false;
};

class Device {
 public:
  virtual ~Device() = default;
  virtual std::string_view name() const = 0;
  virtual std::string library() const = 0;  // "oneDNN 3.2.0"; empty when all kernels are ours
  virtual std::string isa() const = 0;      // the widest instruction set in use, as the library names it
  virtual bool supports(Kind kind) const = 0;
  virtual std::size_t float_bytes() const = 0;  // 4 or 8
  virtual std::unique_ptr<Executable> compile(Program program, const CompileOptions& options) const = 0;
};

/// The devices of this build, by name: "reference", "cpu". Throws EngineError for an unknown name, listing
/// the known ones.
const Device& device(std::string_view name);

const Device& reference_device();  // src/reference
const Device* cpu_device();        // src/cpu; null in a build without oneDNN (src/device/no_cpu.cc)

}  // namespace lepton
