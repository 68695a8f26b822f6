// Form (b): copy, multiply, store.
#pragma once

#include "cuda/blocks/store.cuh"

namespace lnx {

template <typename Math, int Runs>
__device__ __forceinline__ void conv_blocks(const BlocksParams& p) {
  using Config = BlocksConfig<Math, Runs>;
  using T = typename Math::Storage;
  constexpr int kWarps = Config::kWarps;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const Tile tile = find_tile(p);

  const int taps = p.g.kernel_h * p.g.kernel_w;
  const int steps_per_chunk = (taps + p.taps_per_step - 1) / p.taps_per_step;
  const uint32_t first = load_global(p.block_ptr + blockIdx.y);
  const uint32_t end = load_global(p.block_ptr + blockIdx.y + 1);
  const int steps = static_cast<int>((end - first) / Config::kChannels) * steps_per_chunk;

  const int stage_elements = Config::kChannels * p.channel_pitch;
  const int stage_bytes = p.taps_per_step * Config::kTapBytes;
  T* const inputs = reinterpret_cast<T*>(shared_memory());
  unsigned char* const weights =
      reinterpret_cast<unsigned char*>(inputs + Config::kStages * stage_elements);
  const unsigned char* const fragments =
      static_cast<const unsigned char*>(p.fragments) +
      static_cast<int64_t>(first / Config::kChannels) * taps * Config::kTapBytes;

  // A step is some taps of one chunk of channels; inputs come with the first step of a chunk.
  const auto copy = [&](int step) {
    const int chunk = step / steps_per_chunk;
    const int tap = (step - chunk * steps_per_chunk) * p.taps_per_step;
    if (tap == 0)
      copy_inputs<T, kWarps>(p, tile, first + chunk * Config::kChannels,
                             inputs + chunk % Config::kStages * stage_elements);
    copy_weights<Config::kThreads>(
        fragments + (static_cast<int64_t>(chunk) * taps + tap) * Config::kTapBytes,
        min(p.taps_per_step, taps - tap) * Config::kTapBytes,
        weights + step % Config::kStages * stage_bytes);
    commit_copies();
  };

  // The lane's pixel of each run in shared memory, in the first channel that it holds.
  int pixel[Runs];
  bool any = false;
#pragma unroll
  for (int run = 0; run < Runs; ++run) {
    const RunPlace place = find_run<Config>(p, warp, run);
    any = any || (tile.y + place.y < p.g.out_height && tile.x + place.x < p.g.out_width);
    pixel[run] = lane % 4 * (Math::kDepth / 8) * p.channel_pitch +
                 place.y * p.g.stride_h * p.row_pitch + (place.x + lane / 4) * p.g.stride_w +
                 p.shift;
  }

  BlockSums<Config> sums;
  if (steps > 0) copy(0);
  for (int step = 0; step < steps; ++step) {
    if (step + 1 < steps)
      copy(step + 1);
    else
      commit_copies();
    wait_for_copies<1>();
    __syncthreads();
    // The same for all lanes of a warp: its runs are all outside the image.
    if (any) {
      const int chunk = step / steps_per_chunk;
      const int begin = (step - chunk * steps_per_chunk) * p.taps_per_step;
      const T* const channels = inputs + chunk % Config::kStages * stage_elements;
      const unsigned char* tap_weights = weights + step % Config::kStages * stage_bytes;
      int row = begin / p.g.kernel_w, column = begin - row * p.g.kernel_w;
      for (int tap = begin; tap < min(begin + p.taps_per_step, taps); ++tap) {
        const int offset = row * p.g.dilation_h * p.row_pitch + column * p.g.dilation_w;
        const T* at[Runs];
#pragma unroll
        for (int run = 0; run < Runs; ++run) at[run] = channels + pixel[run] + offset;
        multiply_tap<Config, Math>(at, p.channel_pitch, tap_weights, lane, sums);
        tap_weights += Config::kTapBytes;
        if (++column == p.g.kernel_w) {
          column = 0;
          ++row;
        }
      }
    }
    // The next step's copies overwrite what was just read.
    __syncthreads();
  }
  store_sums<Config, Math>(p, tile, warp, lane, sums);
}

}  // namespace lnx
