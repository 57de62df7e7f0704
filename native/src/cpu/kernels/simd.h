// How own kernels use the machine: one clone per x86-64 level chosen at load time, and fixed slices for
// threads.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(LEPTON_NO_CLONES)
#define LEPTON_VERSIONS 1
#define LEPTON_SIMD __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define LEPTON_VERSIONS 0
#define LEPTON_SIMD
#endif

namespace lepton::cpu {

/// Calls work(begin, end) on consecutive slices of [0, count), one per thread. Slices depend on the arguments
/// alone, so the same thread count gives the same bits. `cost` is roughly the number of floats touched per
/// item.
template <class Work>
void parallel_slices(std::int64_t count, int threads, std::int64_t cost, Work&& work) {
  constexpr std::int64_t kWorthAThread = 1 << 14;
  const std::int64_t slices =
      std::min<std::int64_t>({threads, count, std::max<std::int64_t>(1, count * cost / kWorthAThread)});
  if (slices <= 1) {
    work(std::int64_t{0}, count);
    return;
  }
#pragma omp parallel for num_threads(static_cast<int>(slices)) schedule(static, 1)
  for (std::int64_t slice = 0; slice < slices; ++slice) {
    work(count * slice / slices, count * (slice + 1) / slices);
  }
}

}  // namespace lepton::cpu
