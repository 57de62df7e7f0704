// A compiled program: buffers, their places, and the steps. Runs them; decides nothing.
#pragma once

#include <memory>
#include <vector>

#include "cpu/memory_plan.h"
#include "cpu/step.h"
#include "device/device.h"

namespace lepton::cpu {

class CpuExecutable final : public Executable {
 public:
  CpuExecutable(std::vector<Buffer> buffers, std::vector<Step> steps, const dnnl::engine& engine,
                const CompileOptions& options);

  void run(const Bindings& bindings) override;
  std::int64_t workspace_bytes() const override { return plan_.bytes; }
  Profile profile() const override { return profile_; }

 private:
  void bind(const Bindings& bindings);
  void run_steps(const Bindings& bindings);

  std::vector<Buffer> buffers_;
  std::vector<Step> steps_;
  MemoryPlan plan_;
  CompileOptions options_;
  Frame frame_;
  Profile profile_;
};

}  // namespace lepton::cpu
