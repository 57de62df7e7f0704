// Plain loops of pooling. Argmax holds, per output element, the row-major index of the input element it came
// from.
#include <algorithm>
#include <limits>

#include "reference/kernels.h"

namespace lepton::reference {
namespace {

// Calls visit(x index, y index, number of real elements in the window) for every real element of every
// window.
template <typename Visit>
void for_each_element(const Shape& x, const Shape& y, const Attributes& a, Visit visit) {
  for (std::int64_t n = 0; n < y[0]; ++n) {
    for (std::int64_t oh = 0; oh < y[1]; ++oh) {
      for (std::int64_t ow = 0; ow < y[2]; ++ow) {
        const std::int64_t top = std::max<std::int64_t>(oh * a.strides[0] - a.padding[0], 0);
        const std::int64_t bottom = std::min(oh * a.strides[0] - a.padding[0] + a.window[0], x[1]);
        const std::int64_t left = std::max<std::int64_t>(ow * a.strides[1] - a.padding[2], 0);
        const std::int64_t right = std::min(ow * a.strides[1] - a.padding[2] + a.window[1], x[2]);
        const std::int64_t count = (bottom - top) * (right - left);
        for (std::int64_t h = top; h < bottom; ++h) {
          for (std::int64_t w = left; w < right; ++w) {
            for (std::int64_t c = 0; c < x[3]; ++c) {
              visit(((n * x[1] + h) * x[2] + w) * x[3] + c, ((n * y[1] + oh) * y[2] + ow) * y[3] + c, count);
            }
          }
        }
      }
    }
  }
}

}  // namespace

void max_pooling2d(const Frame& frame) {
  const double* x = frame.input(0);
  double* y = frame.output(0);
  std::int32_t* argmax = frame.output_int32(1);
  std::fill_n(y, elements(frame.output_shape(0)), -std::numeric_limits<double>::infinity());
  if (argmax != nullptr) std::fill_n(argmax, elements(frame.output_shape(0)), -1);
  for_each_element(frame.input_shape(0), frame.output_shape(0), frame.attributes(),
                   [&](std::int64_t ix, std::int64_t iy, std::int64_t) {
                     if (argmax != nullptr && (argmax[iy] < 0 || x[ix] > y[iy])) {
                       argmax[iy] = static_cast<std::int32_t>(ix);
                     }
                     y[iy] = std::max(y[iy], x[ix]);
                   });
}

void max_pooling2d_backward(const Frame& frame) {
  const double* dy = frame.input(0);
  const std::int32_t* argmax = frame.input_int32(1);
  double* dx = frame.output(0);
  std::fill_n(dx, elements(frame.output_shape(0)), 0.0);
  for (std::int64_t i = 0; i < elements(frame.input_shape(0)); ++i) dx[argmax[i]] += dy[i];
}

void average_pooling2d(const Frame& frame) {
  const double* x = frame.input(0);
  double* y = frame.output(0);
  std::fill_n(y, elements(frame.output_shape(0)), 0.0);
  for_each_element(frame.input_shape(0), frame.output_shape(0), frame.attributes(),
                   [&](std::int64_t ix, std::int64_t iy, std::int64_t count) {
                     y[iy] += x[ix] / static_cast<double>(count);
                   });
}

void average_pooling2d_backward(const Frame& frame) {
  const double* dy = frame.input(0);
  double* dx = frame.output(0);
  std::fill_n(dx, elements(frame.output_shape(0)), 0.0);
  for_each_element(frame.output_shape(0), frame.input_shape(0), frame.attributes(),
                   [&](std::int64_t ix, std::int64_t iy, std::int64_t count) {
                     dx[ix] += dy[iy] / static_cast<double>(count);
                   });
}

void global_average_pooling2d(const Frame& frame) {
  const Shape& shape = frame.input_shape(0);
  const std::int64_t pixels = shape[1] * shape[2];
  const double* x = frame.input(0);
  double* y = frame.output(0);
  for (std::int64_t n = 0; n < shape[0]; ++n) {
    for (std::int64_t c = 0; c < shape[3]; ++c) {
      double total = 0;
      for (std::int64_t p = 0; p < pixels; ++p) total += x[(n * pixels + p) * shape[3] + c];
      y[n * shape[3] + c] = total / static_cast<double>(pixels);
    }
  }
}

void global_average_pooling2d_backward(const Frame& frame) {
  const Shape& shape = frame.output_shape(0);
  const std::int64_t pixels = shape[1] * shape[2];
  const double* dy = frame.input(0);
  double* dx = frame.output(0);
  for (std::int64_t i = 0; i < elements(shape); ++i) {
    const std::int64_t n = i / (pixels * shape[3]);
    dx[i] = dy[n * shape[3] + i % shape[3]] / static_cast<double>(pixels);
  }
}

}  // namespace lepton::reference
