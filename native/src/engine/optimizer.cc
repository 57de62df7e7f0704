#include "engine/optimizer.h"

#include <cmath>

#include "engine/clones.h"

namespace lepton {
namespace {

/// What all loops need, as floats. `limit` is infinite where values are not clipped.
struct Step {
  float rate;
  float scale;
  float limit;
};

inline float gradient(float value, const Step& step) {
  const float scaled = value * step.scale;
  return scaled > step.limit ? step.limit : (scaled < -step.limit ? -step.limit : scaled);
}

LEPTON_CLONES void sgd(float* __restrict p, const float* __restrict g, std::int64_t count, Step step) {
  for (std::int64_t i = 0; i < count; ++i) p[i] -= step.rate * gradient(g[i], step);
}

/// velocity = momentum * velocity - rate * g; p += velocity, or with Nesterov p += momentum * velocity - rate * g.
LEPTON_CLONES void sgd_momentum(float* __restrict p, const float* __restrict g, float* __restrict velocity,
                                std::int64_t count, Step step, float momentum) {
  for (std::int64_t i = 0; i < count; ++i) {
    velocity[i] = momentum * velocity[i] - step.rate * gradient(g[i], step);
    p[i] += velocity[i];
  }
}

LEPTON_CLONES void sgd_nesterov(float* __restrict p, const float* __restrict g, float* __restrict velocity,
                                std::int64_t count, Step step, float momentum) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float move = step.rate * gradient(g[i], step);
    velocity[i] = momentum * velocity[i] - move;
    p[i] += momentum * velocity[i] - move;
  }
}

struct Moments {
  float beta1;      // 1 - beta1
  float beta2;      // 1 - beta2
  float epsilon;
  float corrected;  // rate * sqrt(1 - beta2^t) / (1 - beta1^t)
  float keep;       // 1 - rate * weight decay
};

/// m += (g - m)(1 - beta1); v += (g^2 - v)(1 - beta2); p -= corrected * m / (sqrt(v) + epsilon). Kingma and Ba 2015;
/// decay apart from the gradient: Loshchilov and Hutter 2019.
LEPTON_CLONES void adam(float* __restrict p, const float* __restrict g, float* __restrict m, float* __restrict v,
                        std::int64_t count, Step step, Moments moments) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float gi = gradient(g[i], step);
    m[i] += (gi - m[i]) * moments.beta1;
    v[i] += (gi * gi - v[i]) * moments.beta2;
    p[i] = p[i] * moments.keep - moments.corrected * m[i] / (std::sqrt(v[i]) + moments.epsilon);
  }
}

/// velocity = rho * velocity + (1 - rho) g^2; p -= rate * g / sqrt(velocity + epsilon), through momentum where it has one.
LEPTON_CLONES void rmsprop(float* __restrict p, const float* __restrict g, float* __restrict velocity,
                           std::int64_t count, Step step, float rho, float epsilon) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float gi = gradient(g[i], step);
    velocity[i] = rho * velocity[i] + (1.0F - rho) * gi * gi;
    p[i] -= step.rate * gi / std::sqrt(velocity[i] + epsilon);
  }
}

LEPTON_CLONES void rmsprop_momentum(float* __restrict p, const float* __restrict g, float* __restrict velocity,
                                    float* __restrict momentums, std::int64_t count, Step step, float rho,
                                    float epsilon, float momentum) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float gi = gradient(g[i], step);
    velocity[i] = rho * velocity[i] + (1.0F - rho) * gi * gi;
    momentums[i] = momentum * momentums[i] + step.rate * gi / std::sqrt(velocity[i] + epsilon);
    p[i] -= momentums[i];
  }
}

Moments moments_of(const OptimizerSpec& spec, const Update& options) {
  const auto t = static_cast<double>(options.iteration);
  const double correction = std::sqrt(1 - std::pow(spec.beta2, t)) / (1 - std::pow(spec.beta1, t));
  const double decay = spec.kind == OptimizerSpec::Kind::kAdamW ? options.learning_rate * spec.weight_decay : 0;
  return {static_cast<float>(1 - spec.beta1), static_cast<float>(1 - spec.beta2), static_cast<float>(spec.epsilon),
          static_cast<float>(options.learning_rate * correction), static_cast<float>(1 - decay)};
}

}  // namespace

std::vector<std::string> slot_names(const OptimizerSpec& spec) {
  switch (spec.kind) {
    case OptimizerSpec::Kind::kSgd:
      return spec.momentum == 0 ? std::vector<std::string>{} : std::vector<std::string>{"momentum"};
    case OptimizerSpec::Kind::kRmsprop:
      return spec.momentum == 0 ? std::vector<std::string>{"velocity"}
                                : std::vector<std::string>{"velocity", "momentum"};
    default:
      return {"m", "v"};
  }
}

void update(const OptimizerSpec& spec, const Update& options, float* parameters, const float* gradients,
            const std::vector<float*>& slots, std::int64_t from, std::int64_t to) {
  const Step step{static_cast<float>(options.learning_rate), static_cast<float>(options.scale),
                  options.clip_value > 0 ? static_cast<float>(options.clip_value) : HUGE_VALF};
  float* p = parameters + from;
  const float* g = gradients + from;
  const std::int64_t count = to - from;
  const auto slot = [&](std::size_t index) { return slots[index] + from; };
  const auto momentum = static_cast<float>(spec.momentum);
  switch (spec.kind) {
    case OptimizerSpec::Kind::kSgd:
      if (slots.empty()) return sgd(p, g, count, step);
      if (spec.nesterov) return sgd_nesterov(p, g, slot(0), count, step, momentum);
      return sgd_momentum(p, g, slot(0), count, step, momentum);
    case OptimizerSpec::Kind::kRmsprop: {
      const auto rho = static_cast<float>(spec.rho);
      const auto epsilon = static_cast<float>(spec.epsilon);
      if (slots.size() == 1) return rmsprop(p, g, slot(0), count, step, rho, epsilon);
      return rmsprop_momentum(p, g, slot(0), slot(1), count, step, rho, epsilon, momentum);
    }
    default:
      return adam(p, g, slot(0), slot(1), count, step, moments_of(spec, options));
  }
}

}  // namespace lepton
