// The vector type of the AVX-512 build: 16 floats. Every vec_*.h defines the same functions in a
// namespace of its own, so that the linker cannot merge code of different instruction sets.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#define LNX_ISA avx512
#define LNX_HAS_PAIRS       // two 8-float rows fit one vector
#define LNX_MANY_REGISTERS  // 32 of them
#define LNX_INLINE static inline __attribute__((always_inline))
#define LNX_INLINE_MEMBER inline __attribute__((always_inline))
#define LNX_LAMBDA __attribute__((always_inline))

namespace lnx::avx512 {

using Vec = __m512;
constexpr int kLanes = 16;

// Register tiles: 32 registers hold the accumulators and the weights of a slice beside them.
constexpr int kFlatTile = 14;
constexpr int kFlatTileBlocked = 6;
constexpr int kRowsTile = 16;
constexpr int kRowsMax = 14;

LNX_INLINE Vec zero() { return _mm512_setzero_ps(); }
LNX_INLINE Vec set1(float x) { return _mm512_set1_ps(x); }
LNX_INLINE Vec load(const float* p) { return _mm512_loadu_ps(p); }
// Integers of one byte as floats.
LNX_INLINE Vec load(const int8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}
// The same vector, loaded once: compilers like to load it again for each use.
LNX_INLINE Vec in_register(Vec v) {
  asm("" : "+v"(v));
  return v;
}
LNX_INLINE void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
LNX_INLINE Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
LNX_INLINE Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
LNX_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
// The larger (smaller) of two; b where either is not a number.
LNX_INLINE Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
LNX_INLINE Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
LNX_INLINE Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
LNX_INLINE Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
// v * 2^n, where n is the integer in the low 9 bits of each lane of `bits`; v and the result are
// normal numbers.
LNX_INLINE Vec scale_by_power(Vec v, Vec bits) {
  const __m512i n = _mm512_slli_epi32(_mm512_castps_si512(bits), 23);
  return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(v), n));
}

// Lane i of the result is lane i - 1 of cur; lane 0 is the last lane of prev.
LNX_INLINE Vec left(Vec prev, Vec cur) {
  return _mm512_castsi512_ps(
      _mm512_alignr_epi32(_mm512_castps_si512(cur), _mm512_castps_si512(prev), 15));
}
// Lane i of the result is lane i + 1 of cur; the last lane is lane 0 of next.
LNX_INLINE Vec right(Vec cur, Vec next) {
  return _mm512_castsi512_ps(
      _mm512_alignr_epi32(_mm512_castps_si512(next), _mm512_castps_si512(cur), 1));
}
// The same by two lanes.
LNX_INLINE Vec left2(Vec prev, Vec cur) {
  return _mm512_castsi512_ps(
      _mm512_alignr_epi32(_mm512_castps_si512(cur), _mm512_castps_si512(prev), 14));
}
LNX_INLINE Vec right2(Vec cur, Vec next) {
  return _mm512_castsi512_ps(
      _mm512_alignr_epi32(_mm512_castps_si512(next), _mm512_castps_si512(cur), 2));
}
// The same by one lane within each half, a row of 8 pixels: zero where the neighbour is outside of
// the row.
LNX_INLINE Vec left_in_rows(Vec v) {
  const __m512i x = _mm512_castps_si512(v);
  return _mm512_castsi512_ps(_mm512_maskz_alignr_epi32(0xFEFE, x, x, 15));
}
LNX_INLINE Vec right_in_rows(Vec v) {
  const __m512i x = _mm512_castps_si512(v);
  return _mm512_castsi512_ps(_mm512_maskz_alignr_epi32(0x7F7F, x, x, 1));
}
// The same within each quarter.
LNX_INLINE Vec left_in_quarters(Vec v) {
  const __m512i x = _mm512_castps_si512(v);
  return _mm512_castsi512_ps(_mm512_maskz_alignr_epi32(0xEEEE, x, x, 15));
}
LNX_INLINE Vec right_in_quarters(Vec v) {
  const __m512i x = _mm512_castps_si512(v);
  return _mm512_castsi512_ps(_mm512_maskz_alignr_epi32(0x7777, x, x, 1));
}
LNX_INLINE Vec left2_in_rows(Vec v) {
  const __m512i x = _mm512_castps_si512(v);
  return _mm512_castsi512_ps(_mm512_maskz_alignr_epi32(0xFCFC, x, x, 14));
}
LNX_INLINE Vec right2_in_rows(Vec v) {
  const __m512i x = _mm512_castps_si512(v);
  return _mm512_castsi512_ps(_mm512_maskz_alignr_epi32(0x3F3F, x, x, 2));
}
// The upper half of a, then the lower half of b.
LNX_INLINE Vec middle(Vec a, Vec b) { return _mm512_shuffle_f32x4(a, b, 0x4E); }
// All bits of every lane, set or clear, and what they leave of a vector.
LNX_INLINE Vec all_bits(bool set) { return _mm512_castsi512_ps(_mm512_set1_epi32(-set)); }
LNX_INLINE Vec both(Vec a, Vec b) { return _mm512_and_ps(a, b); }
// Lanes 0, 2, 4, ... of the 2 * kLanes floats in a and b.
LNX_INLINE Vec even(Vec a, Vec b) {
  const __m512i index = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  return _mm512_permutex2var_ps(a, index, b);
}
// Lanes 1, 3, 5, ... of them.
LNX_INLINE Vec odd(Vec a, Vec b) {
  const __m512i index = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  return _mm512_permutex2var_ps(a, index, b);
}
// Lanes of a and b in turn: of the lower halves, and of the upper ones.
LNX_INLINE Vec zip_low(Vec a, Vec b) {
  const __m512i index = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutex2var_ps(a, index, b);
}
LNX_INLINE Vec zip_high(Vec a, Vec b) {
  const __m512i index =
      _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
  return _mm512_permutex2var_ps(a, index, b);
}
// Four floats from memory, and one of them in every lane: one load for four weights.
LNX_INLINE Vec load4(const float* p) { return _mm512_broadcast_f32x4(_mm_loadu_ps(p)); }
// The same of four integers, times `unit`.
LNX_INLINE Vec load4(const int8_t* p, float unit) {
  int32_t four;
  std::memcpy(&four, p, sizeof four);
  const __m128 values = _mm_cvtepi32_ps(_mm_cvtepi8_epi32(_mm_cvtsi32_si128(four)));
  return _mm512_broadcast_f32x4(_mm_mul_ps(values, _mm_set1_ps(unit)));
}
template <int i>
LNX_INLINE Vec splat(Vec four) {
  return _mm512_permute_ps(four, i * 0x55);
}
// Zeroes the lanes whose bit is clear; bit p % 8 of mask[p / 8] belongs to lane 0, and so on. p is
// a multiple of kLanes.
LNX_INLINE Vec keep(Vec v, const uint8_t* mask, uint64_t p) {
  uint16_t bits;
  std::memcpy(&bits, mask + p / 8, sizeof bits);
  return _mm512_maskz_mov_ps(bits, v);
}
// The first `count` lanes of a vector, 0 to kLanes of them.
using Part = __mmask16;
LNX_INLINE Part part(int64_t count) {
  return static_cast<Part>(count >= kLanes ? 0xFFFF : (1u << (count > 0 ? count : 0)) - 1);
}
// Loads those lanes, the others are zero.
LNX_INLINE Vec load_part(const float* p, Part lanes) { return _mm512_maskz_loadu_ps(lanes, p); }
// Stores those lanes, and touches nothing after them.
LNX_INLINE void store_part(float* p, Vec v, Part lanes) { _mm512_mask_storeu_ps(p, lanes, v); }
// The same lanes, at most 8, of two rows: one in each half.
LNX_INLINE Part twice(Part lanes) { return static_cast<Part>(lanes | lanes << 8); }
// Two rows of at most 8 floats, one in each half; only the lanes in both masks are read.
LNX_INLINE Vec load_rows(const float* p, int64_t row_stride, Part lanes) {
  const Vec first = _mm512_maskz_loadu_ps(lanes & 0xFF, p);
  return _mm512_mask_loadu_ps(first, lanes & 0xFF00, p + row_stride - 8);
}
LNX_INLINE void store_rows(float* p, int64_t row_stride, Vec v, Part lanes) {
  _mm512_mask_storeu_ps(p, lanes & 0xFF, v);
  _mm512_mask_storeu_ps(p + row_stride - 8, lanes & 0xFF00, v);
}
// x[index[i]] in lane i.
LNX_INLINE Vec gather(const float* x, const uint32_t* index) {
  return _mm512_i32gather_ps(_mm512_loadu_si512(index), x, 4);
}
LNX_INLINE float sum(Vec v) { return _mm512_reduce_add_ps(v); }

}  // namespace lnx::avx512
