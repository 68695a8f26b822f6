// Loops that do nothing but multiply-adds, or nothing but loads: they measure a core's roofs.
#pragma once

#include <cstdint>

#include "cpu/peak_table.h"

namespace lnx::LNX_ISA {

// As many sums as hide the latency of a multiply-add twice over, and no more than there are
// registers: 16 with AVX-512's 32, else 12.
constexpr int kPeakSums = kLanes == 16 ? 16 : 12;
constexpr int kPeakLoads = 8;

template <int count>
LNX_INLINE float all_of(const Vec (&sums)[count]) {
  Vec total = sums[0];
  for (int i = 1; i < count; ++i) total = add(total, sums[i]);
  float lanes[kLanes];
  store(lanes, total);
  float result = 0;
  for (int i = 0; i < kLanes; ++i) result += lanes[i];
  return result;
}

// The sums differ and neither overflow nor become denormal: x <- x / 2 + c tends to 2c.
inline float peak_fma(int64_t rounds) {
  Vec sums[kPeakSums];
  for (int i = 0; i < kPeakSums; ++i) sums[i] = set1(static_cast<float>(i));
  const Vec half = set1(0.5f);
  const Vec one = set1(1.0f);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < kPeakSums; ++i) sums[i] = fma(sums[i], half, one);
  }
  return all_of(sums);
}

inline float peak_load(const float* data, int64_t floats) {
  Vec sums[kPeakLoads];
  for (int i = 0; i < kPeakLoads; ++i) sums[i] = zero();
  for (int64_t p = 0; p < floats; p += kPeakLoads * kLanes) {
#pragma GCC unroll 8
    for (int i = 0; i < kPeakLoads; ++i) sums[i] = add(sums[i], load(data + p + i * kLanes));
  }
  return all_of(sums);
}

const PeakTable kPeakTable = {
    static_cast<int64_t>(2) * kPeakSums * kLanes,
    static_cast<int64_t>(kPeakLoads) * kLanes,
    peak_fma,
    peak_load,
};

}  // namespace lnx::LNX_ISA
