// What a compiled program is made of: numbered buffers and a flat list of steps over them. Decides nothing.
#pragma once

#include <cstdint>
#include <dnnl.hpp>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "graph/program.h"

namespace lepton::cpu {

using BufferId = std::int32_t;

/// A piece of memory that steps read and write. Every buffer is written by one step at most.
struct Buffer {
  std::int64_t bytes = 0;
  Storage storage = Storage::kTemporary;  // others are bound by the caller for each run
  std::int64_t index = 0;                 // of input, target or output
  std::int64_t offset = 0;                // elements into an arena
  /// The writing step works element by element, so it may write over one of these if nobody reads that one
  /// later.
  std::vector<BufferId> may_replace;
};

/// What a step sees of a run.
struct Frame {
  std::vector<void*> pointers;  // by BufferId
  std::span<double> losses;
  std::uint64_t seed = 0, step = 0, rank = 0;
  int threads = 1;
  dnnl::stream stream;

  template <class T = float>
  T* at(BufferId id) const {
    return static_cast<T*>(pointers[static_cast<std::size_t>(id)]);
  }
};

enum class Share : std::uint8_t { kLibrary, kOwn, kReorder };

struct Step {
  Share share = Share::kOwn;
  std::vector<BufferId> reads, writes;
  std::function<void(Frame&)> run;
  std::string node;              // the layer it came from
  std::string what;              // which kernel; for profiles and messages
  std::int64_t ready_from = -1;  // gradients of the arena from here on are final after this step; -1: no news
};

}  // namespace lepton::cpu
