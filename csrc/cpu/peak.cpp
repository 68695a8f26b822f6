#include "lnx/peak.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "cpu/aligned_buffer.h"
#include "cpu/peak_table.h"

namespace lnx {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kBurstSeconds = 5e-4;

const PeakTable& peaks(Isa isa) {
#if LNX_X86
  if (isa == Isa::kAvx512) return avx512::kPeakTable;
  if (isa == Isa::kAvx2) return avx2::kPeakTable;
#endif
#if LNX_AARCH64
  if (isa == Isa::kNeon) return neon::kPeakTable;
#endif
  (void)isa;
  return portable::kPeakTable;
}

// Results go here, so that no compiler can leave the loops out.
volatile float sink;

template <typename Burst>
double seconds_of(const Burst& burst) {
  const auto start = Clock::now();
  sink = burst();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The largest of `work / time` over bursts, for about `seconds` and three of them at least.
template <typename Burst>
double best_rate(double work, double seconds, const Burst& burst) {
  double best = 0;
  double spent = 0;
  for (int i = 0; i < 3 || spent < seconds; ++i) {
    const double time = seconds_of(burst);
    best = std::max(best, work / std::max(time, 1e-9));
    spent += time;
  }
  return best;
}

}  // namespace

double measure_fma_gflops(Isa isa, double seconds) {
  const PeakTable& table = peaks(isa);
  int64_t rounds = 1024;
  while (seconds_of([&] { return table.fma(rounds); }) < kBurstSeconds) rounds *= 2;
  return best_rate(1e-9 * static_cast<double>(table.flops_a_round * rounds), seconds,
                   [&] { return table.fma(rounds); });
}

double measure_load_gbs(Isa isa, size_t bytes, double seconds) {
  const PeakTable& table = peaks(isa);
  const int64_t blocks =
      std::max<int64_t>(1, static_cast<int64_t>(bytes / sizeof(float)) / table.load_floats);
  const int64_t floats = blocks * table.load_floats;
  AlignedBuffer<float> buffer(floats);
  int64_t passes = 1;
  const auto burst = [&] {
    float total = 0;
    for (int64_t p = 0; p < passes; ++p) total += table.load(buffer.data(), floats);
    return total;
  };
  while (seconds_of(burst) < kBurstSeconds) passes *= 2;
  return best_rate(1e-9 * static_cast<double>(passes * floats) * sizeof(float), seconds, burst);
}

}  // namespace lnx
