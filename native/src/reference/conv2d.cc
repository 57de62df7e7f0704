// Plain loops of conv2d: x (n, h, w, in), kernel (kh, kw, in / groups, out), y (n, oh, ow, out).
#include <algorithm>

#include "reference/kernels.h"

namespace lepton::reference {
namespace {

// Calls visit(x index, kernel index, y index) for every product that a convolution sums.
template <typename Visit>
void for_each_product(const Shape& x, const Shape& kernel, const Shape& y, const Attributes& a, Visit visit) {
  const std::int64_t group_in = kernel[2];
  const std::int64_t group_out = kernel[3] / a.groups;
  for (std::int64_t n = 0; n < y[0]; ++n) {
    for (std::int64_t oh = 0; oh < y[1]; ++oh) {
      for (std::int64_t ow = 0; ow < y[2]; ++ow) {
        for (std::int64_t kh = 0; kh < kernel[0]; ++kh) {
          for (std::int64_t kw = 0; kw < kernel[1]; ++kw) {
            const std::int64_t h = oh * a.strides[0] + kh * a.dilation[0] - a.padding[0];
            const std::int64_t w = ow * a.strides[1] + kw * a.dilation[1] - a.padding[2];
            if (h < 0 || h >= x[1] || w < 0 || w >= x[2]) continue;
            for (std::int64_t i = 0; i < group_in; ++i) {
              for (std::int64_t o = 0; o < kernel[3]; ++o) {
                const std::int64_t channel = o / group_out * group_in + i;
                visit(((n * x[1] + h) * x[2] + w) * x[3] + channel,
                      ((kh * kernel[1] + kw) * group_in + i) * kernel[3] + o,
                      ((n * y[1] + oh) * y[2] + ow) * y[3] + o);
              }
            }
          }
        }
      }
    }
  }
}

}  // namespace

void conv2d(const Frame& frame) {
  const double* x = frame.input(0);
  const double* kernel = frame.input(1);
  const double* bias = frame.input(2);
  double* y = frame.output(0);
  const Shape& out = frame.output_shape(0);
  for (std::int64_t i = 0; i < elements(out); ++i) y[i] = bias != nullptr ? bias[i % out[3]] : 0;
  for_each_product(frame.input_shape(0), frame.input_shape(1), out, frame.attributes(),
                   [&](std::int64_t ix, std::int64_t ik, std::int64_t iy) { y[iy] += x[ix] * kernel[ik]; });
}

void conv2d_backward_data(const Frame& frame) {
  const double* dy = frame.input(0);
  const double* kernel = frame.input(1);
  double* dx = frame.output(0);
  std::fill_n(dx, elements(frame.output_shape(0)), 0.0);
  for_each_product(frame.output_shape(0), frame.input_shape(1), frame.input_shape(0), frame.attributes(),
                   [&](std::int64_t ix, std::int64_t ik, std::int64_t iy) { dx[ix] += dy[iy] * kernel[ik]; });
}

void conv2d_backward_weights(const Frame& frame) {
  const double* x = frame.input(0);
  const double* dy = frame.input(1);
  double* dkernel = frame.output(0);
  double* dbias = frame.output(1);
  const Shape& out = frame.input_shape(1);
  std::fill_n(dkernel, elements(frame.output_shape(0)), 0.0);
  for_each_product(frame.input_shape(0), frame.output_shape(0), out, frame.attributes(),
                   [&](std::int64_t ix, std::int64_t ik, std::int64_t iy) { dkernel[ik] += x[ix] * dy[iy]; });
  if (dbias == nullptr) return;
  std::fill_n(dbias, out[3], 0.0);
  for (std::int64_t i = 0; i < elements(out); ++i) dbias[i % out[3]] += dy[i];
}

}  // namespace lepton::reference
