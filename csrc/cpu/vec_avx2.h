// The vector type of the AVX2 build: 8 floats. See vec_avx512.h for what each function does.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#define LNX_ISA avx2
#define LNX_INLINE static inline __attribute__((always_inline))
#define LNX_INLINE_MEMBER inline __attribute__((always_inline))
#define LNX_LAMBDA __attribute__((always_inline))

namespace lnx::avx2 {

using Vec = __m256;
constexpr int kLanes = 8;

// 16 registers: fewer accumulators than with AVX-512.
constexpr int kFlatTile = 12;
constexpr int kFlatTileBlocked = 3;
constexpr int kRowsTile = 8;
constexpr int kRowsMax = 8;

LNX_INLINE Vec zero() { return _mm256_setzero_ps(); }
LNX_INLINE Vec set1(float x) { return _mm256_set1_ps(x); }
LNX_INLINE Vec load(const float* p) { return _mm256_loadu_ps(p); }
LNX_INLINE Vec load(const int8_t* p) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}
LNX_INLINE void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
LNX_INLINE Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
LNX_INLINE Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
LNX_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
LNX_INLINE Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
LNX_INLINE Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
LNX_INLINE Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
LNX_INLINE Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
LNX_INLINE Vec scale_by_power(Vec v, Vec bits) {
  const __m256i n = _mm256_slli_epi32(_mm256_castps_si256(bits), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(v), n));
}

LNX_INLINE Vec left(Vec prev, Vec cur) {
  const __m256i across = _mm256_castps_si256(_mm256_permute2f128_ps(prev, cur, 0x21));
  return _mm256_castsi256_ps(_mm256_alignr_epi8(_mm256_castps_si256(cur), across, 12));
}
LNX_INLINE Vec right(Vec cur, Vec next) {
  const __m256i across = _mm256_castps_si256(_mm256_permute2f128_ps(cur, next, 0x21));
  return _mm256_castsi256_ps(_mm256_alignr_epi8(across, _mm256_castps_si256(cur), 4));
}
LNX_INLINE Vec left2(Vec prev, Vec cur) {
  const __m256i across = _mm256_castps_si256(_mm256_permute2f128_ps(prev, cur, 0x21));
  return _mm256_castsi256_ps(_mm256_alignr_epi8(_mm256_castps_si256(cur), across, 8));
}
LNX_INLINE Vec right2(Vec cur, Vec next) {
  const __m256i across = _mm256_castps_si256(_mm256_permute2f128_ps(cur, next, 0x21));
  return _mm256_castsi256_ps(_mm256_alignr_epi8(across, _mm256_castps_si256(cur), 8));
}
LNX_INLINE Vec all_bits(bool set) { return _mm256_castsi256_ps(_mm256_set1_epi32(-set)); }
LNX_INLINE Vec both(Vec a, Vec b) { return _mm256_and_ps(a, b); }
LNX_INLINE Vec even(Vec a, Vec b) {
  const __m256d mixed = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88));
  return _mm256_castpd_ps(_mm256_permute4x64_pd(mixed, 0xD8));
}
LNX_INLINE Vec odd(Vec a, Vec b) {
  const __m256d mixed = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0xDD));
  return _mm256_castpd_ps(_mm256_permute4x64_pd(mixed, 0xD8));
}
LNX_INLINE Vec load4(const float* p) {
  const __m128 four = _mm_loadu_ps(p);
  return _mm256_set_m128(four, four);
}
LNX_INLINE Vec load4(const int8_t* p, float unit) {
  int32_t bytes;
  std::memcpy(&bytes, p, sizeof bytes);
  const __m128 values = _mm_cvtepi32_ps(_mm_cvtepi8_epi32(_mm_cvtsi32_si128(bytes)));
  const __m128 four = _mm_mul_ps(values, _mm_set1_ps(unit));
  return _mm256_set_m128(four, four);
}
template <int i>
LNX_INLINE Vec splat(Vec four) {
  return _mm256_permute_ps(four, i * 0x55);
}
LNX_INLINE Vec keep(Vec v, const uint8_t* mask, uint64_t p) {
  const __m256i bit = _mm256_set_epi32(128, 64, 32, 16, 8, 4, 2, 1);
  const __m256i bits = _mm256_and_si256(_mm256_set1_epi32(mask[p / 8]), bit);
  return _mm256_and_ps(v, _mm256_castsi256_ps(_mm256_cmpeq_epi32(bits, bit)));
}
struct Part {
  __m256i lanes;
  int count;
};
LNX_INLINE Part part(int64_t count) {
  const int n = static_cast<int>(count >= kLanes ? kLanes : count > 0 ? count : 0);
  const __m256i index = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
  return {_mm256_cmpgt_epi32(_mm256_set1_epi32(n), index), n};
}
LNX_INLINE Vec load_part(const float* p, Part part) { return _mm256_maskload_ps(p, part.lanes); }
// In pieces: masked stores are slow on some processors.
LNX_INLINE void store_part(float* p, Vec v, Part part) {
  if (part.count == kLanes) return store(p, v);
  __m128 rest = _mm256_castps256_ps128(v);
  if (part.count & 4) {
    _mm_storeu_ps(p, rest);
    rest = _mm256_extractf128_ps(v, 1);
    p += 4;
  }
  if (part.count & 2) {
    _mm_storel_pi(reinterpret_cast<__m64*>(p), rest);
    rest = _mm_movehl_ps(rest, rest);
    p += 2;
  }
  if (part.count & 1) _mm_store_ss(p, rest);
}
LNX_INLINE Vec gather(const float* x, const uint32_t* index) {
  return _mm256_i32gather_ps(x, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(index)), 4);
}
LNX_INLINE float sum(Vec v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

}  // namespace lnx::avx2
