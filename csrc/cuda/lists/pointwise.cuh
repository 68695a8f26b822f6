// Form (a), 1x1 kernels of stride 1 without padding.
#pragma once

#include "cuda/epilogue.cuh"
#include "cuda/lists/team.cuh"

namespace lnx {

// A vector of pixels along a row.
struct Run {
  int count;  // pixels inside the image; 0 beyond the last run
  int64_t input, output;
};

template <typename T>
__device__ __forceinline__ Run find_run(const ListsParams& p, int index) {
  constexpr int kVector = ListsConfig<T>::kVector;
  const int vectors = (p.g.width + kVector - 1) / kVector;
  const int rest = index / vectors, x = (index - rest * vectors) * kVector;
  const int image = rest / p.g.height, y = rest - image * p.g.height;
  if (image >= p.g.images) return {0, 0, 0};
  return {min(kVector, p.g.width - x), image * p.g.input.image + y * p.g.input.row + x,
          image * p.g.output.image + y * p.g.output.row + x};
}

template <typename T>
__device__ __forceinline__ void load_run(const ListsParams& p, const T* address, int count,
                                         float (&in)[ListsConfig<T>::kVector]) {
  constexpr int kVector = ListsConfig<T>::kVector;
  if (p.aligned && count == kVector) {
    const auto vector = load_global(reinterpret_cast<const Vec<T, kVector>*>(address));
#pragma unroll
    for (int i = 0; i < kVector; ++i) in[i] = to_float(vector.item[i]);
  } else {
#pragma unroll
    for (int i = 0; i < kVector; ++i) in[i] = i < count ? to_float(load_global(address + i)) : 0.0f;
  }
}

template <typename T>
__device__ __forceinline__ void pointwise_lists(const ListsParams& p) {
  using Config = ListsConfig<T>;
  constexpr int kVectors = Config::kVectors, kVector = Config::kVector;
  const Lane at = this_lane(p);
  const uint32_t index = blockIdx.y * Config::kFilters + at.warp;
  if (index >= static_cast<uint32_t>(p.g.filters)) return;
  const uint32_t filter = load_global(p.order + index);
  // Channels from here on are another group's: what pads the last slice must not be used.
  const int group_end = (static_cast<int>(filter) / p.g.group_filters + 1) * p.g.group_channels;
  Run run[kVectors];
#pragma unroll
  for (int v = 0; v < kVectors; ++v)
    run[v] = find_run<T>(p, (static_cast<int>(blockIdx.x) * kVectors + v) * p.team + at.member);

  const T* const input = static_cast<const T*>(p.input);
  float sums[kVectors * kVector] = {};
  for_slices(p, at, filter, [&](const float* weights, uint32_t channel, bool mine) {
    const int there = mine ? min(p.slice_channels, group_end - static_cast<int>(channel)) : 0;
    const T* plane = input + channel * p.g.input.channel;
    for (int c = 0; c < there; ++c, plane += p.g.input.channel) {
      const float weight = load_shared(weights + c);
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        float in[kVector];
        load_run<T>(p, plane + run[v].input, run[v].count, in);
#pragma unroll
        for (int x = 0; x < kVector; ++x) sums[v * kVector + x] += in[x] * weight;
      }
    }
  });

  add_teams(p, sums);
  if (at.team != 0) return;
  const float bias = filter_bias(p.out, filter);
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    if (run[v].count == 0) break;
    float row[kVector];
#pragma unroll
    for (int x = 0; x < kVector; ++x) row[x] = sums[v * kVector + x];
    finish<T>(p.out, run[v].output + filter * p.g.output.channel, run[v].count, bias, row);
  }
}

}  // namespace lnx
