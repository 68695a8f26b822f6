// Form (b), last stage: from sums to outputs.
#pragma once

#include "cuda/blocks/copy.cuh"
#include "cuda/blocks/multiply.cuh"
#include "cuda/epilogue.cuh"

namespace lnx {

// Where a run of 8 pixels begins within the tile.
struct RunPlace {
  int y, x;
};

template <typename Config>
__device__ __forceinline__ RunPlace find_run(const BlocksParams& p, int warp, int run) {
  const int index = warp * Config::kRuns + run;
  const int y = index / p.tile_runs;
  return {y, (index - y * p.tile_runs) * 8};
}

template <typename Config, typename Math>
__device__ __forceinline__ void store_sums(const BlocksParams& p, const Tile& tile, int warp,
                                           int lane, const BlockSums<Config>& sums) {
  using T = typename Math::Storage;
#pragma unroll
  for (int half = 0; half < Config::kRowBlocks * 2; ++half) {
    const uint32_t filter =
        load_global(p.order + blockIdx.y * Config::kFilters + half * 8 + lane / 4);
    if (filter == FilterBlocks::kNoFilter) continue;
    const float bias = filter_bias(p.out, filter);
    const int64_t plane = tile.image * p.g.output.image + filter * p.g.output.channel;
#pragma unroll
    for (int run = 0; run < Config::kRuns; ++run) {
      const RunPlace place = find_run<Config>(p, warp, run);
      const int y = tile.y + place.y, x = tile.x + place.x + lane % 4 * 2;
      const int count = min(2, p.g.out_width - x);
      if (y >= p.g.out_height || count <= 0) continue;
      const float* const c = sums.c[half / 2][run] + half % 2 * 2;
      const float two[2] = {c[0], c[1]};
      finish<T>(p.out, plane + y * p.g.output.row + x, count, bias, two);
    }
  }
}

}  // namespace lnx
