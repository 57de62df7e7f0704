// Floating-point mode is x86's MXCSR; other machines keep theirs. The workspace asks for huge pages.
#include "cpu/machine.h"

#include <omp.h>
#include <sys/mman.h>

#include <string>

#include "graph/error.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace lepton::cpu {
namespace {

#if defined(__x86_64__)
constexpr unsigned kFlushDenormals = 0x8040;  // FTZ | DAZ
unsigned floating_mode() { return _mm_getcsr(); }
void set_floating_mode(unsigned mode) { _mm_setcsr(mode); }
#else
constexpr unsigned kFlushDenormals = 0;
unsigned floating_mode() { return 0; }
void set_floating_mode(unsigned) {}
#endif

class Workspace {
 public:
  Workspace() = default;
  ~Workspace() { release(); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  std::byte* at_least(std::int64_t bytes) {
    if (bytes <= bytes_) return data_;
    release();
    void* data = mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
      throw EngineError("ENGINE_DEVICE", "no memory for a workspace of " + std::to_string(bytes) + " bytes");
    }
#if defined(MADV_HUGEPAGE)
    madvise(data, static_cast<std::size_t>(bytes),
            MADV_HUGEPAGE);  // fewer page walks; a refusal changes no result
#endif
    data_ = static_cast<std::byte*>(data);
    bytes_ = bytes;
    return data_;
  }

 private:
  void release() {
    if (data_ != nullptr) munmap(data_, static_cast<std::size_t>(bytes_));
    data_ = nullptr;
    bytes_ = 0;
  }

  std::byte* data_ = nullptr;
  std::int64_t bytes_ = 0;
};

}  // namespace

MachineScope::MachineScope(int threads) : threads_(omp_get_max_threads()), mode_(floating_mode()) {
  omp_set_num_threads(threads);
  if (threads > 1) {
#pragma omp parallel num_threads(threads)
    set_floating_mode(floating_mode() | kFlushDenormals);
  }
  set_floating_mode(mode_ | kFlushDenormals);
}

MachineScope::~MachineScope() {
  omp_set_num_threads(threads_);
  set_floating_mode(mode_);
}

std::byte* thread_workspace(std::int64_t bytes) {
  thread_local Workspace workspace;
  return workspace.at_least(bytes);
}

}  // namespace lepton::cpu
