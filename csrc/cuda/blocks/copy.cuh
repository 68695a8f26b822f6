// Form (b), first stage: copies of inputs and weights into shared memory.
#pragma once

#include "cuda/config.h"
#include "cuda/device/memory.cuh"
#include "cuda/params.h"

namespace lnx {

// The block's part of the output, and where its window begins in the input.
struct Tile {
  int image, y, x;
  int top, left;  // of the input; left is that of the first copy, at or before the first column
};

__device__ __forceinline__ Tile find_tile(const BlocksParams& p) {
  const int index = static_cast<int>(blockIdx.x);
  const int rest = index / p.tiles_x, image = rest / p.tiles_y;
  const int y = (rest - image * p.tiles_y) * p.tile_rows;
  const int x = (index - rest * p.tiles_x) * p.tile_runs * 8;
  return {image, y, x, y * p.g.stride_h - p.g.pad_h, x * p.g.stride_w - p.g.pad_w - p.shift};
}

// A warp's share of the tile of kChannels channels. A copy begins inside the image or is all zeros;
// of one that ends outside, only what is inside is read.
template <typename T, int Bytes, int Warps>
__device__ __forceinline__ void copy_channels(const BlocksParams& p, const Tile& tile,
                                              uint32_t first, T* to) {
  constexpr int kElements = Bytes / static_cast<int>(sizeof(T));
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int copies = p.in_rows * p.copies_per_row;
  for (int c = warp; c < FilterBlocks::kChannels; c += Warps) {
    const int channel = load_global(p.channel + first + c);
    const T* const plane = static_cast<const T*>(p.input) + tile.image * p.g.input.image +
                           (channel < 0 ? 0 : channel) * p.g.input.channel;
    for (int i = lane; i < copies; i += kWarp) {
      const int row = i / p.copies_per_row;
      const int column = (i - row * p.copies_per_row) * kElements;
      const int y = tile.top + row, x = tile.left + column;
      const bool inside = channel >= 0 &&
                          static_cast<unsigned>(y) < static_cast<unsigned>(p.g.height) &&
                          static_cast<unsigned>(x) < static_cast<unsigned>(p.g.width);
      const T* const from = plane + (inside ? y * p.g.input.row + x : 0);
      T* const shared = to + c * p.channel_pitch + row * p.row_pitch + column;
      if constexpr (Bytes == 2) {
        store_shared(shared, inside ? load_global(from) : T{});
      } else {
        const int size = static_cast<int>(sizeof(T)) * min(kElements, p.g.width - x);
        copy_async<Bytes>(shared, from, inside ? size : 0);
      }
    }
  }
}

// The same, by the widest copies that the input's alignment allows.
template <typename T, int Warps>
__device__ __forceinline__ void copy_inputs(const BlocksParams& p, const Tile& tile, uint32_t first,
                                            T* to) {
  if (p.copy_bytes == 16)
    copy_channels<T, 16, Warps>(p, tile, first, to);
  else if (p.copy_bytes == 8)
    copy_channels<T, 8, Warps>(p, tile, first, to);
  else if (sizeof(T) == 4 || p.copy_bytes == 4)
    copy_channels<T, 4, Warps>(p, tile, first, to);
  else if constexpr (sizeof(T) == 2)
    copy_channels<T, 2, Warps>(p, tile, first, to);
}

// Weights lie in the order of their use, so that a step's are one piece.
template <int Threads>
__device__ __forceinline__ void copy_weights(const unsigned char* from, int bytes,
                                             unsigned char* to) {
  for (int i = static_cast<int>(threadIdx.x) * 16; i < bytes; i += Threads * 16)
    copy_async<16>(to + i, from + i, 16);
}

}  // namespace lnx
