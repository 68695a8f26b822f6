// Storage types of tensors, and how they become float and back.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#ifndef __CUDACC__
#include <emulated_device.h>
#endif

namespace lnx {

struct Half {
  uint16_t bits;
};
struct BFloat {
  uint16_t bits;
};

// Consecutive elements that are loaded or stored by one instruction.
template <typename T, int N>
struct alignas(N * sizeof(T)) Vec {
  T item[N];
};

__device__ __forceinline__ float to_float(float value) { return value; }

__device__ __forceinline__ float to_float(Half value) {
#ifdef __CUDACC__
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
  return result;
#else
  return emulated::half_to_float(value.bits);
#endif
}

// The upper half of a float's bits.
__device__ __forceinline__ float to_float(BFloat value) {
  return __uint_as_float(static_cast<uint32_t>(value.bits) << 16);
}

// To the nearest, ties to even; float16 overflows to infinity.
template <typename T>
__device__ __forceinline__ T from_float(float value) {
  if constexpr (sizeof(T) == 4) {
    return value;
  } else {
    T result;
#ifdef __CUDACC__
    if constexpr (std::is_same_v<T, Half>)
      asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    else
      asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
#else
    if constexpr (std::is_same_v<T, Half>)
      result.bits = emulated::float_to_half(value);
    else
      result.bits = emulated::float_to_bfloat(value);
#endif
    return result;
  }
}

// The nearest value of 10 bits of mantissa, ties away from zero, as bits of a float.
__device__ __forceinline__ uint32_t to_tf32(float value) {
#ifdef __CUDACC__
  uint32_t result;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(result) : "f"(value));
  return result;
#else
  return emulated::float_to_tf32(value);
#endif
}

}  // namespace lnx
