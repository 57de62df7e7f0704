// Plain loops of the activations and their derivatives.
#include <cmath>
#include <numbers>

#include "reference/kernels.h"

namespace lepton::reference {
namespace {

constexpr double kTanhScale = 0.7978845608028654;  // sqrt(2 / pi), of the tanh form of gelu
constexpr double kTanhCubic = 0.044715;

double value(Activation activation, double alpha, double x) {
  switch (activation) {
    case Activation::kRelu:
      return x > 0 ? x : 0;
    case Activation::kLeakyRelu:
      return x > 0 ? x : alpha * x;
    case Activation::kElu:
      return x > 0 ? x : alpha * std::expm1(x);
    case Activation::kGelu:
      return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(kTanhScale * (x + kTanhCubic * x * x * x)));
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
  }
  return 0;
}

// By y, except for the two forms of gelu, which need x.
double derivative(Activation activation, double alpha, double x, double y) {
  switch (activation) {
    case Activation::kRelu:
      return y > 0 ? 1 : 0;
    case Activation::kLeakyRelu:
      return y > 0 ? 1 : alpha;
    case Activation::kElu:
      return y > 0 ? 1 : y + alpha;
    case Activation::kGelu: {
      const double density = std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi);
      return 0.5 * std::erfc(-x / std::numbers::sqrt2) + x * density;
    }
    case Activation::kGeluTanh: {
      const double inner = std::tanh(kTanhScale * (x + kTanhCubic * x * x * x));
      return 0.5 * (1 + inner) + 0.5 * x * (1 - inner * inner) * kTanhScale * (1 + 3 * kTanhCubic * x * x);
    }
    case Activation::kSigmoid:
      return y * (1 - y);
    case Activation::kTanh:
      return 1 - y * y;
  }
  return 0;
}

}  // namespace

void activation(const Frame& frame) {
  const Attributes& a = frame.attributes();
  for (std::int64_t i = 0; i < elements(frame.output_shape(0)); ++i) {
    frame.output(0)[i] = value(a.activation, a.alpha, frame.input(0)[i]);
  }
}

void activation_backward(const Frame& frame) {
  const Attributes& a = frame.attributes();
  for (std::int64_t i = 0; i < elements(frame.output_shape(0)); ++i) {
    const double x = frame.input(0) != nullptr ? frame.input(0)[i] : 0;
    const double y = frame.input(1) != nullptr ? frame.input(1)[i] : 0;
    frame.output(0)[i] = frame.input(2)[i] * derivative(a.activation, a.alpha, x, y);
  }
}

}  // namespace lepton::reference
