// Kernels on rows: softmax and layer normalisation over the last dimension, and their gradients. A call
// handles the `rows` rows at its pointers; callers cut rows between threads. Outputs may be inputs except
// where said.
#pragma once

#include <cstdint>

namespace lepton::cpu {

void softmax(const float* x, float* y, std::int64_t rows, std::int64_t columns);
void softmax_backward(const float* y, const float* dy, float* dx, std::int64_t rows, std::int64_t columns);

/// out = e^(x - max) without dividing; returns log(sum e^x) of one row. `out` may be null.
double exponentials(const float* x, float* out, std::int64_t columns, double* sum);

/// gamma, beta, mean and inverse (one number per row, the inverse of the standard deviation) may be null.
void layer_norm(const float* x, const float* gamma, const float* beta, float* y, float* mean, float* inverse,
                std::int64_t rows, std::int64_t columns, double epsilon);

struct LayerNormBackward {
  const float *x, *dy, *gamma, *mean, *inverse;  // gamma may be null
  float* dx;                                     // may be null
  double *dgamma, *dbeta;                        // sums are added to these; may be null together
};
void layer_norm_backward(const LayerNormBackward& call, std::int64_t rows, std::int64_t columns);

}  // namespace lepton::cpu
