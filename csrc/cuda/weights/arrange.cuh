// From weights in the order of slices to matrix fragments, for form (b).
#pragma once

#include "cuda/config.h"
#include "cuda/device/memory.cuh"
#include "cuda/params.h"

namespace lnx {

template <typename Math>
__device__ __forceinline__ void store_weight(typename Math::Storage* to, float value) {
  if constexpr (Math::kDepth == 16) {
    store_global(to, from_float<typename Math::Storage>(value));
  } else {
    const float high = __uint_as_float(to_tf32(value));
    store_global(to, high);
    if constexpr (Math::kParts == 2)
      store_global(to + FragmentPlace<Math>::kPart, __uint_as_float(to_tf32(value - high)));
  }
}

// A block arranges one filter, a thread one weight at a time. What pads a group's last slice is
// left out.
template <typename Math>
__device__ __forceinline__ void arrange_slices(const CudaArrange& p) {
  using T = typename Math::Storage;
  using Config = BlocksConfig<Math, 2>;
  const int filter = static_cast<int>(blockIdx.x);
  const int64_t group_end = (filter / (p.filters / p.groups) + 1) * (p.channels / p.groups);
  const uint32_t position = load_global(p.position + filter);
  const uint32_t block_first = load_global(p.block_ptr + position / Config::kFilters);
  const int row = static_cast<int>(position % Config::kFilters);
  const int taps = static_cast<int>(p.taps);
  const int64_t length = p.slice_channels * p.taps;
  const int64_t end = load_global(p.filter_ptr + filter + 1) * length;
  for (int64_t i = load_global(p.filter_ptr + filter) * length + threadIdx.x; i < end;
       i += blockDim.x) {
    const int64_t slice = i / length;
    const int within = static_cast<int>(i - slice * length);
    const int c = within / taps, tap = within - c * taps;
    if (load_global(p.channel + slice) + c >= group_end) continue;
    const uint32_t place = block_first + load_global(p.slot + slice) + c;
    const int64_t stage_tap = static_cast<int64_t>(place / Config::kChannels) * taps + tap;
    T* const to = reinterpret_cast<T*>(static_cast<unsigned char*>(p.fragments) +
                                       stage_tap * Config::kTapBytes);
    store_weight<Math>(
        to + FragmentPlace<Math>::offset(row, static_cast<int>(place % Config::kChannels)),
        load_global(p.values + i));
  }
}

}  // namespace lnx
