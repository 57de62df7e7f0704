// Greedy best fit, the largest buffers first. Knows nothing of kernels.
#include "cpu/memory_plan.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace lepton::cpu {
namespace {

constexpr std::int64_t kAlignment = 64;

/// Steps during which a buffer must keep its bytes, both ends included.
struct Interval {
  std::int64_t first = std::numeric_limits<std::int64_t>::max();
  std::int64_t last = -1;
  bool overlaps(const Interval& other) const { return first <= other.last && other.first <= last; }
};

std::vector<Interval> live_intervals(std::span<const Buffer> buffers, std::span<const Step> steps) {
  std::vector<Interval> live(buffers.size());
  for (std::size_t at = 0; at < steps.size(); ++at) {
    const auto touch = [&](BufferId id) {
      auto& interval = live[static_cast<std::size_t>(id)];
      interval.first = std::min<std::int64_t>(interval.first, static_cast<std::int64_t>(at));
      interval.last = static_cast<std::int64_t>(at);
    };
    std::ranges::for_each(steps[at].reads, touch);
    std::ranges::for_each(steps[at].writes, touch);
  }
  return live;
}

/// owner[b] is the buffer whose place b takes: itself, or the first of a chain of in-place steps.
std::vector<BufferId> share_in_place(std::span<const Buffer> buffers, std::span<const Step> steps,
                                     std::vector<Interval>& live) {
  std::vector<BufferId> owner(buffers.size());
  std::iota(owner.begin(), owner.end(), 0);
  for (std::size_t at = 0; at < steps.size(); ++at) {
    bool shared = false;  // one place per step: a second output must not land on the same buffer
    for (const BufferId out : steps[at].writes) {
      const Buffer& buffer = buffers[static_cast<std::size_t>(out)];
      if (shared || buffer.storage != Storage::kTemporary) continue;
      for (const BufferId candidate : buffer.may_replace) {
        const BufferId root = owner[static_cast<std::size_t>(candidate)];
        const Buffer& old = buffers[static_cast<std::size_t>(root)];
        auto& interval = live[static_cast<std::size_t>(root)];
        if (old.storage != Storage::kTemporary || old.bytes < buffer.bytes) continue;
        if (interval.last != static_cast<std::int64_t>(at)) continue;  // still needed, or already replaced
        interval.last = live[static_cast<std::size_t>(out)].last;
        owner[static_cast<std::size_t>(out)] = root;
        shared = true;
        break;
      }
    }
  }
  return owner;
}

struct Placed {
  std::int64_t offset, bytes;
  Interval live;
};

/// The tightest gap between buffers alive at the same time; past them all if none is wide enough.
std::int64_t best_gap(std::vector<Placed>& neighbours, std::int64_t bytes) {
  std::ranges::sort(neighbours, {}, &Placed::offset);
  std::int64_t end = 0, best = -1, best_size = std::numeric_limits<std::int64_t>::max();
  for (const Placed& placed : neighbours) {
    const std::int64_t gap = placed.offset - end;
    if (gap >= bytes && gap < best_size) {
      best = end;
      best_size = gap;
    }
    end = std::max(end, placed.offset + placed.bytes);
  }
  return best >= 0 ? best : end;
}

}  // namespace

MemoryPlan plan_memory(std::span<const Buffer> buffers, std::span<const Step> steps) {
  auto live = live_intervals(buffers, steps);
  const auto owner = share_in_place(buffers, steps, live);
  std::vector<BufferId> order;
  for (std::size_t id = 0; id < buffers.size(); ++id) {
    const bool used = live[id].last >= 0;
    if (used && buffers[id].storage == Storage::kTemporary && owner[id] == static_cast<BufferId>(id)) {
      order.push_back(static_cast<BufferId>(id));
    }
  }
  std::ranges::stable_sort(order, std::greater{},
                           [&](BufferId id) { return buffers[static_cast<std::size_t>(id)].bytes; });

  MemoryPlan plan{std::vector<std::int64_t>(buffers.size(), -1), 0};
  std::vector<Placed> placed, neighbours;
  for (const BufferId id : order) {
    const auto at = static_cast<std::size_t>(id);
    const std::int64_t bytes = (buffers[at].bytes + kAlignment - 1) / kAlignment * kAlignment;
    neighbours.clear();
    std::ranges::copy_if(placed, std::back_inserter(neighbours),
                         [&](const Placed& p) { return p.live.overlaps(live[at]); });
    const std::int64_t offset = best_gap(neighbours, bytes);
    placed.push_back({offset, bytes, live[at]});
    plan.offsets[at] = offset;
    plan.bytes = std::max(plan.bytes, offset + bytes);
  }
  for (std::size_t id = 0; id < buffers.size(); ++id) {
    if (owner[id] != static_cast<BufferId>(id))
      plan.offsets[id] = plan.offsets[static_cast<std::size_t>(owner[id])];
  }
  return plan;
}

}  // namespace lepton::cpu
