// The vector type of the portable build: 4 floats by the compiler's own vector extension, which
// every target of GCC and Clang has. See vec_avx512.h for what each function does.
#pragma once

#include <cstdint>
#include <cstring>

#define LNX_ISA portable
#define LNX_INLINE static inline __attribute__((always_inline))
#define LNX_INLINE_MEMBER inline __attribute__((always_inline))
#define LNX_LAMBDA __attribute__((always_inline))

namespace lnx::portable {

typedef float Vec __attribute__((vector_size(16)));
typedef int32_t VecInt __attribute__((vector_size(16)));
constexpr int kLanes = 4;

constexpr int kFlatTile = 8;
constexpr int kFlatTileBlocked = 2;
constexpr int kRowsTile = 8;
constexpr int kRowsMax = 8;

#if defined(__clang__)
#define LNX_SHUFFLE(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define LNX_SHUFFLE(a, b, i, j, k, l) __builtin_shuffle(a, b, VecInt{i, j, k, l})
#endif

LNX_INLINE Vec zero() { return Vec{0, 0, 0, 0}; }
LNX_INLINE Vec set1(float x) { return Vec{x, x, x, x}; }
LNX_INLINE Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
LNX_INLINE Vec load(const int8_t* p) {
  return Vec{static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2]),
             static_cast<float>(p[3])};
}
LNX_INLINE void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
LNX_INLINE Vec add(Vec a, Vec b) { return a + b; }
LNX_INLINE Vec mul(Vec a, Vec b) { return a * b; }
LNX_INLINE Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
LNX_INLINE Vec max(Vec a, Vec b) {
  const VecInt larger = a > b;
  return (Vec)(((VecInt)a & larger) | ((VecInt)b & ~larger));
}
LNX_INLINE Vec min(Vec a, Vec b) {
  const VecInt smaller = a < b;
  return (Vec)(((VecInt)a & smaller) | ((VecInt)b & ~smaller));
}
LNX_INLINE Vec sub(Vec a, Vec b) { return a - b; }
LNX_INLINE Vec div(Vec a, Vec b) { return a / b; }
LNX_INLINE Vec scale_by_power(Vec v, Vec bits) {
  // Unsigned: bits that do not count are shifted out.
  typedef uint32_t VecBits __attribute__((vector_size(16)));
  return (Vec)((VecBits)v + ((VecBits)bits << 23));
}
LNX_INLINE Vec left(Vec prev, Vec cur) { return LNX_SHUFFLE(prev, cur, 3, 4, 5, 6); }
LNX_INLINE Vec right(Vec cur, Vec next) { return LNX_SHUFFLE(cur, next, 1, 2, 3, 4); }
LNX_INLINE Vec left2(Vec prev, Vec cur) { return LNX_SHUFFLE(prev, cur, 2, 3, 4, 5); }
LNX_INLINE Vec right2(Vec cur, Vec next) { return LNX_SHUFFLE(cur, next, 2, 3, 4, 5); }
LNX_INLINE Vec all_bits(bool set) {
  const int32_t bits = -static_cast<int32_t>(set);
  return (Vec)VecInt{bits, bits, bits, bits};
}
LNX_INLINE Vec both(Vec a, Vec b) { return (Vec)((VecInt)a & (VecInt)b); }
LNX_INLINE Vec even(Vec a, Vec b) { return LNX_SHUFFLE(a, b, 0, 2, 4, 6); }
LNX_INLINE Vec odd(Vec a, Vec b) { return LNX_SHUFFLE(a, b, 1, 3, 5, 7); }
LNX_INLINE Vec load4(const float* p) { return load(p); }
LNX_INLINE Vec load4(const int8_t* p, float unit) {
  const Vec four = {static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2]),
                    static_cast<float>(p[3])};
  return mul(four, set1(unit));
}
template <int i>
LNX_INLINE Vec splat(Vec four) {
  return LNX_SHUFFLE(four, four, i, i, i, i);
}
LNX_INLINE Vec keep(Vec v, const uint8_t* mask, uint64_t p) {
  const int32_t bits = mask[p / 8] >> (p % 8);
  const VecInt bit = {1, 2, 4, 8};
  const VecInt spread = {bits, bits, bits, bits};
  return (Vec)((VecInt)v & ((spread & bit) == bit));
}
struct Part {
  VecInt lanes;
  int count;
};
LNX_INLINE Part part(int64_t count) {
  const int n = static_cast<int>(count >= kLanes ? kLanes : count > 0 ? count : 0);
  return {VecInt{n, n, n, n} > VecInt{0, 1, 2, 3}, n};
}
LNX_INLINE Vec load_part(const float* p, Part part) {
  if (part.count == kLanes) return load(p);
  Vec v = zero();
  for (int i = 0; i < part.count; ++i) v[i] = p[i];
  return v;
}
LNX_INLINE void store_part(float* p, Vec v, Part part) {
  if (part.count == kLanes) return store(p, v);
  for (int i = 0; i < part.count; ++i) p[i] = v[i];
}
LNX_INLINE Vec gather(const float* x, const uint32_t* index) {
  return Vec{x[index[0]], x[index[1]], x[index[2]], x[index[3]]};
}
LNX_INLINE float sum(Vec v) { return (v[0] + v[1]) + (v[2] + v[3]); }

}  // namespace lnx::portable
