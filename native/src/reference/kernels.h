// The reference kernels, by the file they stand in.
#pragma once

#include "reference/frame.h"

namespace lepton::reference {

using Kernel = void (*)(const Frame&);
Kernel find_kernel(Kind kind);

// dense.cc
void dense(const Frame& frame);
void dense_backward_data(const Frame& frame);
void dense_backward_weights(const Frame& frame);
// conv2d.cc
void conv2d(const Frame& frame);
void conv2d_backward_data(const Frame& frame);
void conv2d_backward_weights(const Frame& frame);
// pooling2d.cc
void max_pooling2d(const Frame& frame);
void max_pooling2d_backward(const Frame& frame);
void average_pooling2d(const Frame& frame);
void average_pooling2d_backward(const Frame& frame);
void global_average_pooling2d(const Frame& frame);
void global_average_pooling2d_backward(const Frame& frame);
// batch_normalization.cc
void batch_norm_training(const Frame& frame);
void batch_norm_inference(const Frame& frame);
void batch_norm_backward(const Frame& frame);
// layer_normalization.cc
void layer_norm(const Frame& frame);
void layer_norm_backward(const Frame& frame);
// dropout.cc: forward and backward are the same map
void dropout(const Frame& frame);
// embedding.cc
void embedding(const Frame& frame);
void embedding_backward(const Frame& frame);
// reshape.cc
void copy(const Frame& frame);
// transpose.cc
void transpose(const Frame& frame);
void transpose_backward(const Frame& frame);
// elementwise.cc
void sum(const Frame& frame);
void product(const Frame& frame);
// concat.cc
void concat(const Frame& frame);
void split(const Frame& frame);
// activation.cc
void activation(const Frame& frame);
void activation_backward(const Frame& frame);
// position_embedding.cc
void position_embedding(const Frame& frame);
void position_embedding_backward(const Frame& frame);
// attention.cc
void attention(const Frame& frame);
void attention_backward(const Frame& frame);
// softmax.cc
void softmax(const Frame& frame);
void softmax_backward(const Frame& frame);
// loss.cc
void loss(const Frame& frame);
void loss_backward(const Frame& frame);

}  // namespace lepton::reference
