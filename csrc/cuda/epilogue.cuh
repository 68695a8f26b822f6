// From sums to outputs: bias, residual, activation, rounding.
#pragma once

#include "cuda/device/memory.cuh"
#include "cuda/params.h"

namespace lnx {

// NaN stays NaN, which fminf and fmaxf would not do.
__device__ __forceinline__ float clamp(float x, float least, float most) {
  return x < least ? least : (x > most ? most : x);
}

__device__ __forceinline__ float hard_sigmoid(float x) {
  return clamp(x + 3.0f, 0.0f, 6.0f) * (1.0f / 6.0f);
}

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// The same branch for all threads.
__device__ __forceinline__ float activate(float x, Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return x < 0.0f ? 0.0f : x;
    case Activation::kRelu6:
      return clamp(x, 0.0f, 6.0f);
    case Activation::kHardSwish:
      return x * hard_sigmoid(x);
    case Activation::kSilu:
      return x * sigmoid(x);
    case Activation::kHardSigmoid:
      return hard_sigmoid(x);
    case Activation::kSigmoid:
      return sigmoid(x);
    case Activation::kGelu:
      return 0.5f * x * erfcf(x * -0.70710678f);
    case Activation::kGeluTanh:
      return x * sigmoid(1.5957691f * (x + 0.044715f * x * x * x));
    default:
      return x;  // launchers refuse those with parameters
  }
}

// Finishes and stores the first `count` of N pixels along a row, at `offset` of the output. Where
// rows are aligned, `offset` is a multiple of N.
template <typename T, int N>
__device__ __forceinline__ void finish(const OutputParams& out, int64_t offset, int count,
                                       float bias, const float (&sums)[N]) {
  using V = Vec<T, N>;
  T* const to = static_cast<T*>(out.data) + offset;
  const T* const residual = static_cast<const T*>(out.residual) + (out.residual ? offset : 0);
  const bool whole = out.aligned && count == N;
  V added{}, result;
  if (out.residual) {
    if (whole) {
      added = load_written(reinterpret_cast<const V*>(residual));
    } else {
#pragma unroll
      for (int i = 0; i < N; ++i)
        if (i < count) added.item[i] = load_written(residual + i);
    }
  }
#pragma unroll
  for (int i = 0; i < N; ++i) {
    float value = sums[i] + bias;
    if (out.residual) value += to_float(added.item[i]);
    result.item[i] = from_float<T>(activate(value, out.activation));
  }
  if (whole) {
    store_global(reinterpret_cast<V*>(to), result);
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i)
      if (i < count) store_global(to + i, result.item[i]);
  }
}

__device__ __forceinline__ float filter_bias(const OutputParams& out, uint32_t filter) {
  return out.bias ? load_global(out.bias + filter) : 0.0f;
}

}  // namespace lnx
