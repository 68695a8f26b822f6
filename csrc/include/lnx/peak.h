// What a core can do at most, measured: the roofs that kernels are compared with.
#pragma once

#include <cstddef>

#include "lnx/isa.h"

namespace lnx {

// Multiply-add throughput of one core in GFLOP/s, two operations a multiply-add, on values that
// stay in registers: the best of short bursts, for about `seconds`.
double measure_fma_gflops(Isa isa, double seconds);

// Rate in GB/s at which one core loads a buffer of `bytes` again and again, in whole vectors, from
// whatever cache it fits: the best of passes, for about `seconds`.
double measure_load_gbs(Isa isa, size_t bytes, double seconds);

}  // namespace lnx
