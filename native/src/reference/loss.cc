// Plain loops of the losses and their gradients; the formulas stand at LossKind in graph/program.h.
#include <algorithm>
#include <cmath>
#include <vector>

#include "reference/kernels.h"

namespace lepton::reference {
namespace {

constexpr double kSmallest = 1e-7;  // keras.backend.epsilon()

double clipped(double p) { return std::clamp(p, kSmallest, 1 - kSmallest); }
bool inside(double p) { return p >= kSmallest && p <= 1 - kSmallest; }
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

bool over_rows(LossKind kind) {
  return kind == LossKind::kCategoricalCrossentropy || kind == LossKind::kSparseCategoricalCrossentropy;
}

double log_sum_exp(const double* x, std::int64_t n) {
  const double top = *std::max_element(x, x + n);
  double total = 0;
  for (std::int64_t i = 0; i < n; ++i) total += std::exp(x[i] - top);
  return top + std::log(total);
}

// Target distribution of row r, one-hot and smoothed where asked.
std::vector<double> distribution(const Frame& frame, std::int64_t r, std::int64_t classes) {
  std::vector<double> t(static_cast<std::size_t>(classes), 0.0);
  if (frame.attributes().loss == LossKind::kSparseCategoricalCrossentropy) {
    t[static_cast<std::size_t>(frame.input_int32(1)[r])] = 1;
    return t;
  }
  const double smoothing = frame.attributes().label_smoothing;
  for (std::size_t c = 0; c < t.size(); ++c) {
    t[c] = frame.input(1)[static_cast<std::size_t>(r * classes) + c] * (1 - smoothing) +
           smoothing / static_cast<double>(classes);
  }
  return t;
}

double row_loss(const Frame& frame, std::int64_t r, std::int64_t classes) {
  const double* x = frame.input(0) + r * classes;
  const std::vector<double> t = distribution(frame, r, classes);
  const bool logits = frame.attributes().from == LossFrom::kLogits;
  const double normalizer = logits ? log_sum_exp(x, classes) : 0;
  double total = 0;
  for (std::int64_t c = 0; c < classes; ++c) {
    total -= t[static_cast<std::size_t>(c)] * (logits ? x[c] - normalizer : std::log(clipped(x[c])));
  }
  return total;
}

void row_gradient(const Frame& frame, std::int64_t r, std::int64_t classes, double scale) {
  const double* x = frame.input(0) + r * classes;
  double* dx = frame.output(0) + r * classes;
  const std::vector<double> t = distribution(frame, r, classes);
  double mass = 0;  // of the targets: 1 for a distribution, but anything may be fed
  for (const double part : t) mass += part;
  const bool logits = frame.attributes().from == LossFrom::kLogits;
  const double normalizer = logits ? log_sum_exp(x, classes) : 0;
  for (std::int64_t c = 0; c < classes; ++c) {
    const double target = t[static_cast<std::size_t>(c)];
    if (logits) {
      dx[c] = scale * (mass * std::exp(x[c] - normalizer) - target);
    } else {
      dx[c] = inside(x[c]) ? -scale * target / x[c] : 0;
    }
  }
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
    case LossKind::kMeanSquaredError:
      return error * error;
    case LossKind::kMeanAbsoluteError:
      return std::abs(error);
    case LossKind::kHuber:
      return std::abs(error) <= a.alpha ? 0.5 * error * error
                                        : a.alpha * std::abs(error) - 0.5 * a.alpha * a.alpha;
    default:
      return 0;
  }
}

double element_gradient(const Attributes& a, double p, double t) {
  const double error = p - t;
  switch (a.loss) {
    case LossKind::kBinaryCrossentropy:
      t = binary_target(a, t);
      if (a.from == LossFrom::kLogits) return 1 / (1 + std::exp(-p)) - t;
      return inside(p) ? -t / p + (1 - t) / (1 - p) : 0;
    case LossKind::kMeanSquaredError:
      return 2 * error;
    case LossKind::kMeanAbsoluteError:
      return error > 0 ? 1 : error < 0 ? -1 : 0;
    case LossKind::kHuber:
      return std::clamp(error, -a.alpha, a.alpha);
    default:
      return 0;
  }
}

}  // namespace

void loss(const Frame& frame) {
  const Attributes& a = frame.attributes();
  const Shape& shape = frame.input_shape(0);
  double total = 0;
  if (over_rows(a.loss)) {
    for (std::int64_t r = 0; r < rows(shape); ++r) total += row_loss(frame, r, columns(shape));
    total /= static_cast<double>(rows(shape));
  } else {
    for (std::int64_t i = 0; i < elements(shape); ++i)
      total += element_loss(a, frame.input(0)[i], frame.input(1)[i]);
    total /= static_cast<double>(elements(shape));
  }
  frame.output(0)[0] = total;
}

void loss_backward(const Frame& frame) {
  const Attributes& a = frame.attributes();
  const Shape& shape = frame.input_shape(0);
  if (over_rows(a.loss)) {
    const double scale = a.weight / static_cast<double>(rows(shape));
    for (std::int64_t r = 0; r < rows(shape); ++r) row_gradient(frame, r, columns(shape), scale);
    return;
  }
  const double scale = a.weight / static_cast<double>(elements(shape));
  for (std::int64_t i = 0; i < elements(shape); ++i) {
    frame.output(0)[i] = scale * element_gradient(a, frame.input(0)[i], frame.input(1)[i]);
  }
}

}  // namespace lepton::reference
