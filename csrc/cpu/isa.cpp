#include "lnx/isa.h"

#include <stdexcept>

#include "cpu/kernels.h"

namespace lnx {
namespace {

bool supported(Isa isa) {
#if LNX_X86
  // These builtins ask the operating system too whether it saves the wide registers.
  __builtin_cpu_init();
  if (isa == Isa::kAvx512)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("fma");
  if (isa == Isa::kAvx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
#if LNX_AARCH64
  if (isa == Isa::kNeon) return true;  // Every aarch64 processor has it.
#endif
  return isa == Isa::kPortable;
}

}  // namespace

std::vector<Isa> available_isas() {
  static const std::vector<Isa> found = [] {
    std::vector<Isa> isas;
    for (Isa isa : {Isa::kAvx512, Isa::kAvx2, Isa::kNeon, Isa::kPortable})
      if (supported(isa)) isas.push_back(isa);
    return isas;
  }();
  return found;
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kNeon:
      return "neon";
    default:
      return "portable";
  }
}

Isa isa_from_name(const std::string& name) {
  std::string known;
  for (Isa isa : available_isas()) {
    if (name == isa_name(isa)) return isa;
    known += (known.empty() ? "" : ", ") + std::string(isa_name(isa));
  }
  throw std::invalid_argument("instruction set '" + name + "': this machine has " + known);
}

const KernelTable& kernels(Isa isa) {
#if LNX_X86
  if (isa == Isa::kAvx512) return avx512::kTable;
  if (isa == Isa::kAvx2) return avx2::kTable;
#endif
#if LNX_AARCH64
  if (isa == Isa::kNeon) return neon::kTable;
#endif
  (void)isa;
  return portable::kTable;
}

const IsaTraits& isa_traits(Isa isa) { return kernels(isa).traits; }

bool memory_is_far() {
#if LNX_X86
  // Their servers' shared cache is several times as slow, seen from a core, as the core's own.
  static const bool far = [] {
    __builtin_cpu_init();
    return __builtin_cpu_is("intel") != 0;
  }();
  return far;
#else
  return false;
#endif
}

}  // namespace lnx
