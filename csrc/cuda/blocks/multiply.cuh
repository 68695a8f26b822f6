// Form (b), second stage: fragments from shared memory, and their products.
#pragma once

#include "cuda/config.h"
#include "cuda/device/memory.cuh"
#include "cuda/device/mma.cuh"

namespace lnx {

// A warp's sums: 16 filters times 8 pixels each, as mma.cuh spreads them over the lanes.
template <typename Config>
struct BlockSums {
  float c[Config::kRowBlocks][Config::kRuns][4] = {};
};

// Weights of 16 filters and one instruction's channels: a 16-byte load for each part.
template <typename Config, typename Math>
struct WeightFragment {
  uint32_t part[Math::kParts][4];

  __device__ __forceinline__ void load(const unsigned char* tap, int step, int row_block,
                                       int lane) {
    const int first = (step * Config::kRowBlocks + row_block) * Math::kParts;
#pragma unroll
    for (int i = 0; i < Math::kParts; ++i) {
      const auto four =
          load_shared(reinterpret_cast<const Vec<uint32_t, 4>*>(tap) + (first + i) * kWarp + lane);
#pragma unroll
      for (int k = 0; k < 4; ++k) part[i][k] = four.item[k];
    }
  }
};

// Inputs of 8 pixels and one instruction's channels. `at` is the lane's pixel in its first channel.
template <typename Math>
struct InputFragment;

template <>
struct InputFragment<Tf32> {
  uint32_t b[2];
  __device__ __forceinline__ void load(const float* at, int pitch) {
    b[0] = to_tf32(load_shared(at));
    b[1] = to_tf32(load_shared(at + 4 * pitch));
  }
  __device__ __forceinline__ void multiply(float (&c)[4], const uint32_t (&a)[1][4]) const {
    mma_tf32(c, a[0], b);
  }
};

// x = high + low; the product of both low parts is below float32's precision.
template <>
struct InputFragment<Tf32x3> {
  uint32_t high[2], low[2];
  __device__ __forceinline__ void load(const float* at, int pitch) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float x = load_shared(at + 4 * i * pitch);
      high[i] = to_tf32(x);
      low[i] = to_tf32(x - __uint_as_float(high[i]));
    }
  }
  __device__ __forceinline__ void multiply(float (&c)[4], const uint32_t (&a)[2][4]) const {
    mma_tf32(c, a[1], high);
    mma_tf32(c, a[0], low);
    mma_tf32(c, a[0], high);
  }
};

template <typename T>
struct InputFragment<Direct<T>> {
  uint32_t b[2];
  __device__ __forceinline__ void load(const T* at, int pitch) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const uint32_t low = load_shared(at + 8 * i * pitch).bits;
      const uint32_t high = load_shared(at + (8 * i + 1) * pitch).bits;
      b[i] = low | high << 16;
    }
  }
  __device__ __forceinline__ void multiply(float (&c)[4], const uint32_t (&a)[1][4]) const {
    mma_16bit<T>(c, a[0], b);
  }
};

// Adds one tap of a stage's channels. inputs[i] is the lane's pixel of run i under this tap, in the
// first channel that the lane holds.
template <typename Config, typename Math>
__device__ __forceinline__ void multiply_tap(
    const typename Math::Storage* const (&inputs)[Config::kRuns], int channel_pitch,
    const unsigned char* tap, int lane, BlockSums<Config>& sums) {
#pragma unroll
  for (int step = 0; step < Config::kSteps; ++step) {
    WeightFragment<Config, Math> a[Config::kRowBlocks];
#pragma unroll
    for (int row = 0; row < Config::kRowBlocks; ++row) a[row].load(tap, step, row, lane);
#pragma unroll
    for (int run = 0; run < Config::kRuns; ++run) {
      InputFragment<Math> b;
      b.load(inputs[run] + step * Math::kDepth * channel_pitch, channel_pitch);
#pragma unroll
      for (int row = 0; row < Config::kRowBlocks; ++row) b.multiply(sums.c[row][run], a[row].part);
    }
  }
}

}  // namespace lnx
