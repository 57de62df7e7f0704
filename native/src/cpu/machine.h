// What a run borrows from the machine: threads, floating-point mode, the workspace of the engine's thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lepton::cpu {

/// Sets the number of OpenMP threads and flushes denormals to zero on all of them; restores the caller's on
/// exit. Denormals cost a hundred times a normal operation and appear in every net that trains for long.
class MachineScope {
 public:
  explicit MachineScope(int threads);
  ~MachineScope();
  MachineScope(const MachineScope&) = delete;
  MachineScope& operator=(const MachineScope&) = delete;

 private:
  int threads_;
  unsigned mode_;
};

/// At least `bytes` bytes, 64-byte aligned, valid until the next call on this thread. All executables that
/// run on one thread share it, because nothing in a workspace outlives a run; it grows to the largest and is
/// freed with the thread. Throws EngineError when the system has no memory.
std::byte* thread_workspace(std::int64_t bytes);

}  // namespace lepton::cpu
