// The list of operation families: one function, one file each.
#pragma once

#include <vector>

#include "ops/op.h"

namespace lepton {

std::vector<const Op*> dense_ops();
std::vector<const Op*> conv2d_ops();
std::vector<const Op*> pooling2d_ops();
std::vector<const Op*> batch_normalization_ops();
std::vector<const Op*> layer_normalization_ops();
std::vector<const Op*> dropout_ops();
std::vector<const Op*> embedding_ops();
std::vector<const Op*> position_embedding_ops();
std::vector<const Op*> attention_ops();
std::vector<const Op*> reshape_ops();
std::vector<const Op*> transpose_ops();
std::vector<const Op*> elementwise_ops();
std::vector<const Op*> concat_ops();
std::vector<const Op*> activation_ops();
std::vector<const Op*> softmax_ops();

}  // namespace lepton
