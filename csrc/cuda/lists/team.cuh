// How the lanes of a warp divide pixels and slices, and the walk over a filter's slices.
#pragma once

#include "cuda/config.h"
#include "cuda/device/memory.cuh"
#include "cuda/params.h"

namespace lnx {

// A lane's place: its team takes every `teams`-th slice of the filter, its member number is that of
// its pixels.
struct Lane {
  int lane, warp, member, team, teams;
};

__device__ __forceinline__ Lane this_lane(const ListsParams& p) {
  const int lane = threadIdx.x % kWarp;
  return {lane, static_cast<int>(threadIdx.x) / kWarp, lane % p.team, lane / p.team,
          kWarp / p.team};
}

// A warp's slices in shared memory. Their weights begin `shift` floats into `weights`, so that
// copies from global memory are aligned although slices are not.
struct Stage {
  float* weights;
  uint32_t* channel;
  int shift;
};

__device__ __forceinline__ Stage warp_stage(const ListsParams& p, int warp) {
  unsigned char* const all = shared_memory() + warp * p.stage_bytes;
  return {reinterpret_cast<float*>(all), reinterpret_cast<uint32_t*>(all) + p.stage_floats, 0};
}

// Copies `count` slices from `first` on, 16 bytes a lane.
__device__ __forceinline__ void fill_stage(const ListsParams& p, uint32_t first, int count,
                                           int lane, Stage& stage) {
  using V = Vec<float, 4>;
  const int64_t begin = static_cast<int64_t>(first) * p.length;
  stage.shift = static_cast<int>(begin & 3);
  const V* const from = reinterpret_cast<const V*>(p.values + (begin - stage.shift));
  const int vectors = (stage.shift + count * p.length + 3) / 4;
  for (int v = lane; v < vectors; v += kWarp)
    store_shared(reinterpret_cast<V*>(stage.weights) + v, load_global(from + v));
  for (int s = lane; s < count; s += kWarp)
    store_shared(stage.channel + s, load_global(p.channel + first + s));
}

// Calls slice(weights, channel, mine) for each slice of the filter, in turn by teams. All lanes
// call it as often, so that it may use shuffles; where not `mine`, the slice is another team's.
template <typename Slice>
__device__ __forceinline__ void for_slices(const ListsParams& p, const Lane& at, uint32_t filter,
                                           Slice&& slice) {
  Stage stage = warp_stage(p, at.warp);
  const uint32_t end = load_global(p.filter_ptr + filter + 1);
  for (uint32_t first = load_global(p.filter_ptr + filter); first < end; first += p.stage_slices) {
    const int count = min(static_cast<int>(end - first), p.stage_slices);
    fill_stage(p, first, count, at.lane, stage);
    __syncwarp();
    for (int s = 0; s < count; s += at.teams) {
      const bool mine = s + at.team < count;
      const int index = mine ? s + at.team : s;
      slice(stage.weights + stage.shift + index * p.length, load_shared(stage.channel + index),
            mine);
    }
    __syncwarp();
  }
}

// Adds up the sums of all teams; each lane then has the whole.
template <int N>
__device__ __forceinline__ void add_teams(const ListsParams& p, float (&sums)[N]) {
  for (int distance = p.team; distance < kWarp; distance *= 2) {
#pragma unroll
    for (int i = 0; i < N; ++i) sums[i] += __shfl_xor_sync(0xffffffffu, sums[i], distance);
  }
}

}  // namespace lnx
