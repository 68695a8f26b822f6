// The measuring loops of one instruction set.
#pragma once

#include <cstdint>

namespace lnx {

struct PeakTable {
  int64_t flops_a_round;  // of `fma`
  int64_t load_floats;    // `load` takes multiples of it
  float (*fma)(int64_t rounds);
  float (*load)(const float* data, int64_t floats);
};

namespace portable {
extern const PeakTable kPeakTable;
}
#if LNX_AARCH64
namespace neon {
extern const PeakTable kPeakTable;
}
#endif
#if LNX_X86
namespace avx2 {
extern const PeakTable kPeakTable;
}
namespace avx512 {
extern const PeakTable kPeakTable;
}
#endif

}  // namespace lnx
