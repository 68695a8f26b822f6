// The vector type of the aarch64 build: 4 floats. See vec_avx512.h for what each function does.
#pragma once

#include <arm_neon.h>

#include <cstdint>

#define LNX_ISA neon
#define LNX_MANY_REGISTERS  // 32 of them
#define LNX_INLINE static inline __attribute__((always_inline))
#define LNX_INLINE_MEMBER inline __attribute__((always_inline))
#define LNX_LAMBDA __attribute__((always_inline))

namespace lnx::neon {

using Vec = float32x4_t;
constexpr int kLanes = 4;

// 32 registers, as with AVX-512.
constexpr int kFlatTile = 14;
constexpr int kFlatTileBlocked = 6;
constexpr int kRowsTile = 16;
constexpr int kRowsMax = 14;

LNX_INLINE Vec zero() { return vdupq_n_f32(0.0f); }
LNX_INLINE Vec set1(float x) { return vdupq_n_f32(x); }
LNX_INLINE Vec load(const float* p) { return vld1q_f32(p); }
LNX_INLINE Vec in_register(Vec v) { return v; }
LNX_INLINE Vec load(const int8_t* p) {
  return Vec{static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2]),
             static_cast<float>(p[3])};
}
LNX_INLINE void store(float* p, Vec v) { vst1q_f32(p, v); }
LNX_INLINE Vec add(Vec a, Vec b) { return vaddq_f32(a, b); }
LNX_INLINE Vec sub(Vec a, Vec b) { return vsubq_f32(a, b); }
LNX_INLINE Vec mul(Vec a, Vec b) { return vmulq_f32(a, b); }
LNX_INLINE Vec div(Vec a, Vec b) { return vdivq_f32(a, b); }
LNX_INLINE Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
// Not a number where either is not a number.
LNX_INLINE Vec max(Vec a, Vec b) { return vmaxq_f32(a, b); }
LNX_INLINE Vec min(Vec a, Vec b) { return vminq_f32(a, b); }
LNX_INLINE Vec scale_by_power(Vec v, Vec bits) {
  const uint32x4_t n = vshlq_n_u32(vreinterpretq_u32_f32(bits), 23);
  return vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(v), n));
}
LNX_INLINE Vec left(Vec prev, Vec cur) { return vextq_f32(prev, cur, 3); }
LNX_INLINE Vec right(Vec cur, Vec next) { return vextq_f32(cur, next, 1); }
LNX_INLINE Vec left2(Vec prev, Vec cur) { return vextq_f32(prev, cur, 2); }
LNX_INLINE Vec right2(Vec cur, Vec next) { return vextq_f32(cur, next, 2); }
LNX_INLINE Vec all_bits(bool set) {
  return vreinterpretq_f32_u32(vdupq_n_u32(set ? 0xFFFFFFFFu : 0u));
}
LNX_INLINE Vec both(Vec a, Vec b) {
  return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
}
LNX_INLINE Vec even(Vec a, Vec b) { return vuzp1q_f32(a, b); }
LNX_INLINE Vec odd(Vec a, Vec b) { return vuzp2q_f32(a, b); }
LNX_INLINE Vec zip_low(Vec a, Vec b) { return vzip1q_f32(a, b); }
LNX_INLINE Vec zip_high(Vec a, Vec b) { return vzip2q_f32(a, b); }
LNX_INLINE Vec load4(const float* p) { return load(p); }
LNX_INLINE Vec load4(const int8_t* p, float unit) {
  const Vec four = {static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2]),
                    static_cast<float>(p[3])};
  return mul(four, set1(unit));
}
template <int i>
LNX_INLINE Vec splat(Vec four) {
  return vdupq_laneq_f32(four, i);
}
LNX_INLINE Vec keep(Vec v, const uint8_t* mask, uint64_t p) {
  const uint32_t bit[4] = {1, 2, 4, 8};
  const uint32x4_t spread = vdupq_n_u32(static_cast<uint32_t>(mask[p / 8]) >> (p % 8));
  return both(v, vreinterpretq_f32_u32(vtstq_u32(spread, vld1q_u32(bit))));
}
LNX_INLINE Vec gather(const float* x, const uint32_t* index) {
  return Vec{x[index[0]], x[index[1]], x[index[2]], x[index[3]]};
}
struct Part {
  int count;
};
LNX_INLINE Part part(int64_t count) {
  return {static_cast<int>(count >= kLanes ? kLanes : count > 0 ? count : 0)};
}
LNX_INLINE Vec load_part(const float* p, Part part) {
  if (part.count == kLanes) return load(p);
  float lanes[kLanes] = {};
  for (int i = 0; i < part.count; ++i) lanes[i] = p[i];
  return load(lanes);
}
LNX_INLINE void store_part(float* p, Vec v, Part part) {
  if (part.count == kLanes) return store(p, v);
  float lanes[kLanes];
  store(lanes, v);
  for (int i = 0; i < part.count; ++i) p[i] = lanes[i];
}
LNX_INLINE float sum(Vec v) { return vaddvq_f32(v); }

}  // namespace lnx::neon
