// The cpu device: oneDNN for convolutions, products and pooling, own kernels for the rest.
#pragma once

#include "device/device.h"

namespace lepton::cpu {

class CpuDevice final : public Device {
 public:
  std::string_view name() const override { return "cpu"; }
  std::string library() const override;
  std::string isa() const override;
  bool supports(Kind) const override { return true; }
  std::size_t float_bytes() const override { return sizeof(float); }
  std::unique_ptr<Executable> compile(Program program, const CompileOptions& options) const override;
};

}  // namespace lepton::cpu
