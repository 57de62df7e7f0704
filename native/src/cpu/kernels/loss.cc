// Rows are summed in double. Only the exponentials over classes are long enough to need lanes
// (kernels/rows.h).
#include "cpu/kernels/loss.h"

#include <algorithm>
#include <cmath>

#include "cpu/kernels/rows.h"
#include "graph/error.h"

namespace lepton::cpu {
namespace {

constexpr double kSmallest = 1e-7;  // keras.backend.epsilon()

double clipped(double p) { return std::clamp(p, kSmallest, 1 - kSmallest); }
bool inside(double p) { return p >= kSmallest && p <= 1 - kSmallest; }
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

bool over_rows(LossKind kind) {
  return kind == LossKind::kCategoricalCrossentropy || kind == LossKind::kSparseCategoricalCrossentropy;
}

/// The class index of a row, checked: a wild label must not become a wild read.
std::int64_t label_of(const void* target, std::int64_t row, std::int64_t classes) {
  const std::int64_t label = static_cast<const std::int32_t*>(target)[row];
  if (label < 0 || label >= classes) {
    throw EngineError("ENGINE_ARGUMENT", "target of row " + std::to_string(row) +
                                             ": expected a class from 0 to " + std::to_string(classes - 1) +
                                             ", got " + std::to_string(label));
  }
  return label;
}

double sparse_loss(const Attributes& a, const float* x, std::int64_t classes, std::int64_t label) {
  if (a.from == LossFrom::kProbabilities) return -std::log(clipped(x[label]));
  double sum;
  return exponentials(x, nullptr, classes, &sum) - static_cast<double>(x[label]);
}

double dense_loss(const Attributes& a, const float* x, const float* target, std::int64_t classes) {
  const double keep = 1 - a.label_smoothing, spread = a.label_smoothing / static_cast<double>(classes);
  const bool logits = a.from == LossFrom::kLogits;
  double sum, total = 0;
  const double normalizer = logits ? exponentials(x, nullptr, classes, &sum) : 0;
  for (std::int64_t c = 0; c < classes; ++c) {
    const double t = static_cast<double>(target[c]) * keep + spread;
    if (t == 0) continue;
    total -= t * (logits ? static_cast<double>(x[c]) - normalizer : std::log(clipped(x[c])));
  }
  return total;
}

/// From logits: e^(x - max) is already in dx. The mass of the targets is 1 for a distribution, but anything
/// may be fed.
void dense_gradient(const Attributes& a, const float* x, const float* target, float* dx, std::int64_t classes,
                    double scale) {
  const double keep = 1 - a.label_smoothing, spread = a.label_smoothing / static_cast<double>(classes);
  if (a.from == LossFrom::kProbabilities) {
    for (std::int64_t c = 0; c < classes; ++c) {
      const double p = x[c], t = static_cast<double>(target[c]) * keep + spread;
      dx[c] = inside(p) ? static_cast<float>(-scale * t / p) : 0.0f;
    }
    return;
  }
  double sum, mass = 0;
  exponentials(x, dx, classes, &sum);
  for (std::int64_t c = 0; c < classes; ++c) mass += static_cast<double>(target[c]) * keep + spread;
  const double factor = scale * mass / sum;
  for (std::int64_t c = 0; c < classes; ++c) {
    const double t = static_cast<double>(target[c]) * keep + spread;
    dx[c] = static_cast<float>(factor * static_cast<double>(dx[c]) - scale * t);
  }
}

void sparse_gradient(const Attributes& a, const float* x, float* dx, std::int64_t classes, std::int64_t label,
                     double scale) {
  if (a.from == LossFrom::kProbabilities) {
    const double p = x[label];
    std::fill_n(dx, classes, 0.0f);
    dx[label] = inside(p) ? static_cast<float>(-scale / p) : 0.0f;
    return;
  }
  double sum;
  exponentials(x, dx, classes, &sum);
  const double at_label = static_cast<double>(dx[label]) / sum - 1;
  const auto factor = static_cast<float>(scale / sum);
  for (std::int64_t c = 0; c < classes; ++c) dx[c] *= factor;
  dx[label] = static_cast<float>(scale * at_label);
}

double binary_target(const Attributes& a, double t) {
  return t * (1 - a.label_smoothing) + a.label_smoothing / 2;
}

double element_loss(const Attributes& a, double p, double t) {
  const double error = p - t;
  switch (a.loss) {
    case LossKind::kBinaryCrossentropy:
      t = binary_target(a, t);
      if (a.from == LossFrom::kLogits) return t * softplus(-p) + (1 - t) * softplus(p);
      return -t * std::log(clipped(p)) - (1 - t) * std::log(1 - clipped(p));
    case LossKind::kMeanAbsoluteError:
      return std::abs(error);
    case LossKind::kHuber:
      return std::abs(error) <= a.alpha ? 0.5 * error * error
                                        : a.alpha * std::abs(error) - 0.5 * a.alpha * a.alpha;
    default:
      return error * error;
  }
}

double element_gradient(const Attributes& a, double p, double t) {
  const double error = p - t;
  switch (a.loss) {
    case LossKind::kBinaryCrossentropy:
      t = binary_target(a, t);
      if (a.from == LossFrom::kLogits) return 1 / (1 + std::exp(-p)) - t;
      return inside(p) ? -t / p + (1 - t) / (1 - p) : 0;
    case LossKind::kMeanAbsoluteError:
      return error > 0 ? 1 : error < 0 ? -1 : 0;
    case LossKind::kHuber:
      return std::clamp(error, -a.alpha, a.alpha);
    default:
      return 2 * error;
  }
}

}  // namespace

double loss(const Attributes& attributes, const LossGeometry& geometry, const float* prediction,
            const void* target) {
  const auto [rows, columns] = geometry;
  const auto* dense = static_cast<const float*>(target);
  double total = 0;
  if (!over_rows(attributes.loss)) {
    for (std::int64_t i = 0; i < rows * columns; ++i)
      total += element_loss(attributes, prediction[i], dense[i]);
    return total / static_cast<double>(rows * columns);
  }
  const bool sparse = attributes.loss == LossKind::kSparseCategoricalCrossentropy;
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* x = prediction + r * columns;
    total += sparse ? sparse_loss(attributes, x, columns, label_of(target, r, columns))
                    : dense_loss(attributes, x, dense + r * columns, columns);
  }
  return total / static_cast<double>(rows);
}

void loss_backward(const Attributes& attributes, const LossGeometry& geometry, const float* prediction,
                   const void* target, float* dx) {
  const auto [rows, columns] = geometry;
  const auto* dense = static_cast<const float*>(target);
  if (!over_rows(attributes.loss)) {
    const double scale = attributes.weight / static_cast<double>(rows * columns);
    for (std::int64_t i = 0; i < rows * columns; ++i) {
      dx[i] = static_cast<float>(scale * element_gradient(attributes, prediction[i], dense[i]));
    }
    return;
  }
  const double scale = attributes.weight / static_cast<double>(rows);
  const bool sparse = attributes.loss == LossKind::kSparseCategoricalCrossentropy;
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* x = prediction + r * columns;
    float* to = dx + r * columns;
    if (sparse) {
      sparse_gradient(attributes, x, to, columns, label_of(target, r, columns), scale);
    } else {
      dense_gradient(attributes, x, dense + r * columns, to, columns, scale);
    }
  }
}

}  // namespace lepton::cpu
