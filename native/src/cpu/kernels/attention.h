// One head of scaled dot-product attention on one sample, and its gradients. Queries go by blocks, so what is
// held beside the operands does not grow with their number; a causal block skips the keys that none of it
// sees.
#pragma once

#include <cstdint>

namespace lepton::cpu {

/// Sizes of one head; its rows lie `stride` (query, key) or `value_stride` (value, y) floats apart.
struct HeadSizes {
  std::int64_t queries, keys, width, value_width;
  std::int64_t stride, value_stride;
  bool causal;
};

struct HeadForward {
  const float *query, *key, *value;
  float* y;
  float* probabilities;  // (queries, keys); may be null
};

struct HeadBackward {
  const float *query, *key, *value;
  const float* probabilities;  // as the forward pass left them; unseen keys are not read
  const float* dy;
  float *dquery, *dkey, *dvalue;  // any of them may be null
};

/// Floats of scratch that either pass needs.
std::int64_t head_scratch(const HeadSizes& sizes);

void attention_head(const HeadSizes& sizes, const HeadForward& head, float* scratch);
void attention_head_backward(const HeadSizes& sizes, const HeadBackward& head, float* scratch);

}  // namespace lepton::cpu
