// The devices of this build, found by name.
#include "device/device.h"

#include "graph/error.h"

namespace lepton {

const Device& device(std::string_view name) {
  const Device* cpu = cpu_device();
  if (name == "reference") return reference_device();
  if (name == "cpu" && cpu != nullptr) return *cpu;
  throw EngineError("ENGINE_DEVICE", "unknown device '" + std::string(name) + "': this build has reference" +
                                         (cpu != nullptr ? " and cpu" : " (it was made without oneDNN)"));
}

}  // namespace lepton
