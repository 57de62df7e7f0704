#include "reference/kernels.h"

namespace lepton::reference {

Kernel find_kernel(Kind kind) {
  switch (kind) {
    case Kind::kDense:
      return dense;
    case Kind::kConv2d:
      return conv2d;
    case Kind::kMaxPooling2d:
      return max_pooling2d;
    case Kind::kAveragePooling2d:
      return average_pooling2d;
    case Kind::kGlobalAveragePooling2d:
      return global_average_pooling2d;
    case Kind::kBatchNormTraining:
      return batch_norm_training;
    case Kind::kBatchNormInference:
      return batch_norm_inference;
    case Kind::kLayerNorm:
      return layer_norm;
    case Kind::kDropout:
      return dropout;
    case Kind::kEmbedding:
      return embedding;
    case Kind::kPositionEmbedding:
      return position_embedding;
    case Kind::kAttention:
      return attention;
    case Kind::kCopy:
      return copy;
    case Kind::kTranspose:
      return transpose;
    case Kind::kAdd:
      return sum;
    case Kind::kMultiply:
      return product;
    case Kind::kConcat:
      return concat;
    case Kind::kActivation:
      return activation;
    case Kind::kSoftmax:
      return softmax;
    case Kind::kLoss:
      return loss;
    case Kind::kDenseBackwardData:
      return dense_backward_data;
    case Kind::kDenseBackwardWeights:
      return dense_backward_weights;
    case Kind::kConv2dBackwardData:
      return conv2d_backward_data;
    case Kind::kConv2dBackwardWeights:
      return conv2d_backward_weights;
    case Kind::kMaxPooling2dBackward:
      return max_pooling2d_backward;
    case Kind::kAveragePooling2dBackward:
      return average_pooling2d_backward;
    case Kind::kGlobalAveragePooling2dBackward:
      return global_average_pooling2d_backward;
    case Kind::kBatchNormBackward:
      return batch_norm_backward;
    case Kind::kLayerNormBackward:
      return layer_norm_backward;
    case Kind::kDropoutBackward:
      return dropout;
    case Kind::kEmbeddingBackward:
      return embedding_backward;
    case Kind::kPositionEmbeddingBackward:
      return position_embedding_backward;
    case Kind::kAttentionBackward:
      return attention_backward;
    case Kind::kTransposeBackward:
      return transpose_backward;
    case Kind::kMultiplyBackward:
      return product;
    case Kind::kSplit:
      return split;
    case Kind::kActivationBackward:
      return activation_backward;
    case Kind::kSoftmaxBackward:
      return softmax_backward;
    case Kind::kLossBackward:
      return loss_backward;
    case Kind::kSum:
      return sum;
  }
  return nullptr;
}

}  // namespace lepton::reference
