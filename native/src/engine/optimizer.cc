#include "engine/optimizer.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <limits>

#include "engine/clones.h"
#include "engine/sums.h"

namespace lepton {
namespace {

// 16 KiB: with parameters and two slots it fits into a first-level cache of 48 KiB, nearly into one of 32.
constexpr std::int64_t kBlock = Part::kBlock;

// Every argument of the inner loops, already in float; pointers point at the first element to update.
struct Pass {
  float* parameters;
  const float* gradients;
  float* first;  // slots, null when the optimizer has none
  float* second;
  std::int64_t count;
  float rate;
  float scale;
  float limit;  // infinity: no clipping
};

inline float prepared(const Pass& p, std::int64_t i) {
  const float scaled = p.gradients[i] * p.scale;
  // In this order NaN stays NaN.
  const float below = scaled > p.limit ? p.limit : scaled;
  return below < -p.limit ? -p.limit : below;
}

LEPTON_CLONES void plain_sgd(const Pass& pass) {
  const Pass p = pass;
  for (std::int64_t i = 0; i < p.count; ++i) p.parameters[i] -= p.rate * prepared(p, i);
}

LEPTON_CLONES void momentum_sgd(const Pass& pass, float momentum, bool nesterov) {
  const Pass p = pass;
  for (std::int64_t i = 0; i < p.count; ++i) {
    const float step = p.rate * prepared(p, i);
    const float velocity = momentum * p.first[i] - step;
    p.first[i] = velocity;
    p.parameters[i] += nesterov ? momentum * velocity - step : velocity;
  }
}

// `rate` carries the bias correction; `decay` is weight decay * learning rate (0 for plain Adam), applied
// first.
LEPTON_CLONES void adam(const Pass& pass, float beta1, float beta2, float epsilon, float decay) {
  const Pass p = pass;
  for (std::int64_t i = 0; i < p.count; ++i) {
    const float gradient = prepared(p, i);
    const float m = p.first[i] + (gradient - p.first[i]) * (1 - beta1);
    const float v = p.second[i] + (gradient * gradient - p.second[i]) * (1 - beta2);
    p.first[i] = m;
    p.second[i] = v;
    const float parameter = p.parameters[i] - p.parameters[i] * decay;
    p.parameters[i] = parameter - m * p.rate / (std::sqrt(v) + epsilon);
  }
}

LEPTON_CLONES void rmsprop(const Pass& pass, float rho, float momentum, float epsilon) {
  const Pass p = pass;
  for (std::int64_t i = 0; i < p.count; ++i) {
    const float gradient = prepared(p, i);
    const float velocity = rho * p.first[i] + (1 - rho) * gradient * gradient;
    p.first[i] = velocity;
    float step = p.rate * gradient / std::sqrt(velocity + epsilon);
    if (p.second != nullptr) {
      step += momentum * p.second[i];
      p.second[i] = step;
    }
    p.parameters[i] -= step;
  }
}

double corrected_rate(const OptimizerSpec& spec, const UpdateOptions& options) {
  const auto t = static_cast<double>(options.iteration);
  return options.learning_rate * std::sqrt(1 - std::pow(spec.beta2, t)) / (1 - std::pow(spec.beta1, t));
}

}  // namespace

std::vector<std::string> Optimizer::slot_names(const OptimizerSpec& spec) {
  switch (spec.kind) {
    case OptimizerKind::kSgd:
      return spec.momentum != 0 ? std::vector<std::string>{"momentum"} : std::vector<std::string>{};
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW:
      return {"m", "v"};
    case OptimizerKind::kRmsprop:
      return spec.momentum != 0 ? std::vector<std::string>{"velocity", "momentum"}
                                : std::vector<std::string>{"velocity"};
  }
  return {};
}

void PlainPart::add_to(float* sum, std::int64_t start, std::int64_t count) {
  accumulate(sum, values_ + start * static_cast<std::int64_t>(sizeof(float)), count, weight_);
}

Optimizer::Optimizer(const OptimizerSpec& spec, std::int64_t length) : spec_(spec), length_(length) {
  for (const std::string& name : slot_names(spec)) {
    const auto values = std::make_shared<AlignedBuffer>(static_cast<std::size_t>(length) * sizeof(float));
    slots_.push_back({name, {values, static_cast<float*>(values->data())}});
  }
}

Optimizer::Optimizer(const OptimizerSpec& spec, std::int64_t length,
                     const std::shared_ptr<std::byte[]>& memory, std::int64_t stride)
    : spec_(spec), length_(length), keeps_two_(true) {
  auto* at = reinterpret_cast<float*>(memory.get());
  for (std::vector<Slot>* slots : {&slots_, &odd_slots_}) {
    for (const std::string& name : slot_names(spec)) {
      slots->push_back({name, {memory, at}});
      at += stride;
    }
  }
}

void Optimizer::update(float* parameters, const float* gradients, std::int64_t from, std::int64_t to,
                       const UpdateOptions& options) {
  apply(slots_, parameters + from, gradients + from, from, to, options);
}

std::int64_t Optimizer::advance(float* next, const float* previous, std::span<const Advance> ranges) {
  const auto count = static_cast<std::int64_t>(ranges.size());
  std::atomic<std::int64_t> first = count;
  const auto work = [&](std::int64_t i) {
    if (advance_one(next, previous, ranges[static_cast<std::size_t>(i)])) return;
    for (std::int64_t known = first; i < known && !first.compare_exchange_weak(known, i);) {
    }
  };
  if (helpers_ == 0 || count < 2) {
    for (std::int64_t i = 0; i < count; ++i) work(i);
  } else {
    if (crew_ == nullptr) crew_ = std::make_unique<Crew>(helpers_);
    crew_->run(count, work);
  }
  return first < count ? first.load() : -1;
}

bool Optimizer::advance_one(float* next, const float* previous, const Advance& range) {
  const auto& [sum, parts, from, to, options] = range;
  std::array<float, kBlock> block;
  const bool odd = options.iteration % 2 != 0;
  const std::vector<Slot>& slots = odd ? odd_slots() : slots_;
  const std::vector<Slot>& before = odd ? slots_ : odd_slots();
  for (std::int64_t start = from; start < to; start += kBlock) {
    const std::int64_t count = std::min(kBlock, to - start);
    if (sum != nullptr) {
      std::copy_n(sum + start, count, block.data());
    } else {
      std::fill_n(block.data(), count, 0.0F);
    }
    for (const auto& part : parts) part->add_to(block.data(), start - from, count);
    if (!all_finite(reinterpret_cast<const std::byte*>(block.data()), count)) return false;
    if (next != previous) std::copy_n(previous + start, count, next + start);
    if (keeps_two_) {
      for (std::size_t slot = 0; slot < slots.size(); ++slot)
        std::copy_n(before[slot].values.get() + start, count, slots[slot].values.get() + start);
    }
    apply(slots, next + start, block.data(), start, start + count, options);
  }
  return true;
}

// Pointers at element `from`.
void Optimizer::apply(const std::vector<Slot>& slots, float* parameters, const float* gradients,
                      std::int64_t from, std::int64_t to, const UpdateOptions& options) {
  Pass pass{.parameters = parameters,
            .gradients = gradients,
            .first = slots.empty() ? nullptr : slots[0].values.get() + from,
            .second = slots.size() < 2 ? nullptr : slots[1].values.get() + from,
            .count = to - from,
            .rate = static_cast<float>(options.learning_rate),
            .scale = static_cast<float>(options.scale),
            .limit = options.clip_value > 0 ? static_cast<float>(options.clip_value)
                                            : std::numeric_limits<float>::infinity()};
  const auto momentum = static_cast<float>(spec_.momentum);
  const auto epsilon = static_cast<float>(spec_.epsilon);
  switch (spec_.kind) {
    case OptimizerKind::kSgd:
      if (pass.first == nullptr) return plain_sgd(pass);
      return momentum_sgd(pass, momentum, spec_.nesterov);
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW:
      pass.rate = static_cast<float>(corrected_rate(spec_, options));
      return adam(pass, static_cast<float>(spec_.beta1), static_cast<float>(spec_.beta2), epsilon,
                  static_cast<float>(spec_.weight_decay * options.learning_rate));
    case OptimizerKind::kRmsprop:
      return rmsprop(pass, static_cast<float>(spec_.rho), momentum, epsilon);
  }
}

}  // namespace lepton
