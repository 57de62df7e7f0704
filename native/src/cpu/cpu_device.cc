// Compiles programs: fusion and lowering to steps, then the memory plan. Answers for versions.
#include "cpu/cpu_device.h"

#include "cpu/executable.h"
#include "cpu/lowering.h"
#include "cpu/machine.h"

namespace lepton::cpu {

std::string CpuDevice::library() const {
  const dnnl_version_t* version = dnnl_version();
  return "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
         std::to_string(version->patch);
}

std::string CpuDevice::isa() const {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41:
      return "sse41";
    case dnnl::cpu_isa::avx:
      return "avx";
    case dnnl::cpu_isa::avx2:
      return "avx2";
    case dnnl::cpu_isa::avx2_vnni:
      return "avx2_vnni";
    case dnnl::cpu_isa::avx512_core:
      return "avx512_core";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "avx512_core_bf16";
    case dnnl::cpu_isa::avx512_core_amx:
      return "avx512_core_amx";
    default:
      return "other";
  }
}

std::unique_ptr<Executable> CpuDevice::compile(Program program, const CompileOptions& options) const {
  const MachineScope scope(options.threads);  // the library cuts work by the number of threads it sees now
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  Lowering lowering(program, engine);
  lowering.run();
  return std::make_unique<CpuExecutable>(lowering.buffers(), std::move(lowering.steps()), engine, options);
}

}  // namespace lepton::cpu

namespace lepton {

const Device* cpu_device() {
  static const cpu::CpuDevice device;
  return &device;
}

}  // namespace lepton
