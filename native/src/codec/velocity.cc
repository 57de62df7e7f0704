#include "codec/kernels.h"
#include "engine/clones.h"

namespace lepton::codec {

LEPTON_CLONES void accelerate(float share, float* __restrict velocity, float* __restrict values,
                              std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    velocity[i] = share * velocity[i] + values[i];
    values[i] = velocity[i];
  }
}

}  // namespace lepton::codec
