// Optimizers over a flat range of the arena: one fused pass per update. Formulas are Keras 3's
// (keras/src/optimizers).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace lepton {

struct OptimizerSpec {
  enum class Kind : std::uint8_t { kSgd, kAdam, kAdamW, kRmsprop };
  Kind kind = Kind::kSgd;
  bool nesterov = false;
  double momentum = 0;  // sgd, rmsprop
  double beta1 = 0.9;   // adam, adamW
  double beta2 = 0.999;
  double rho = 0.9;  // rmsprop
  double epsilon = 1e-7;
  double weight_decay = 0;  // adamW
};

struct Update {
  double learning_rate = 0;
  std::int64_t iteration = 1;  // from 1: bias correction
  double scale = 1;            // of the gradients
  double clip_value = 0;       // 0: no limit; applied after scale
};

/// Names of the state arrays that a kind keeps, each as long as the parameters: momentum | m, v | velocity,
/// momentum.
std::vector<std::string> slot_names(const OptimizerSpec& spec);

/// Updates parameters[from, to) in place from gradients and slots of the same range.
void update(const OptimizerSpec& spec, const Update& options, float* parameters, const float* gradients,
            const std::vector<float*>& slots, std::int64_t from, std::int64_t to);

}  // namespace lepton
