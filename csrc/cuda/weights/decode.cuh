// From the integers of the file to weights, exactly.
#pragma once

#include "cuda/device/memory.cuh"

namespace lnx {

struct DecodeParams {
  int length;
  const uint32_t* filter_ptr;
  const int16_t* latents;
  const int32_t* matrix;
  float unit;          // 2^-exponent
  const float* scale;  // or null
  float* values;
};

// A block decodes one filter, a thread one weight at a time. The sum is exact in 64 bits, so there
// is one rounding to float, and none by the unit; then one by the scale.
__device__ __forceinline__ void decode_slices(const DecodeParams& p) {
  const int64_t end = static_cast<int64_t>(load_global(p.filter_ptr + blockIdx.x + 1)) * p.length;
  const int64_t begin = static_cast<int64_t>(load_global(p.filter_ptr + blockIdx.x)) * p.length;
  for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) {
    const int64_t slice = i / p.length;
    const int tap = static_cast<int>(i - slice * p.length);
    const int16_t* const latents = p.latents + slice * p.length;
    int64_t sum = 0;
    for (int k = 0; k < p.length; ++k)
      sum += static_cast<int64_t>(load_global(latents + k)) *
             load_global(p.matrix + k * p.length + tap);
    float value = __fmul_rn(__ll2float_rn(sum), p.unit);
    if (p.scale) value = __fmul_rn(value, load_global(p.scale + blockIdx.x));
    store_global(p.values + i, value);
  }
}

}  // namespace lnx
