// What all convolution kernels share: the beginning and the end of a tile.
// Included once per instruction set, after its vec_*.h.
#pragma once

#include <cstring>
#include <utility>

#include "cpu/kernels.h"

#define LNX_UNROLL _Pragma("GCC unroll 32")

namespace lnx::LNX_ISA {

// Where a tile stands: which filter, which flat output position, and whether its channel block is
// the first (start from the bias) and the last (apply the epilogue). Between blocks the partial
// sums wait in the output.
struct Tile {
  int filter;
  int64_t position;
  bool first, last;
};

// Splits `total` into `parts` ranges of nearly equal length: begin of range i.
LNX_INLINE int64_t split(int64_t total, int64_t parts, int64_t i) { return total * i / parts; }

// Stores a vector of a row of which `left` floats remain: a row of 8 floats may be shorter than a
// vector, and what follows it is another row, perhaps another thread's.
LNX_INLINE void store_in_row(float* out, Vec v, int left) {
  if (left >= kLanes) {
    store(out, v);
  } else {
    float lanes[kLanes];
    store(lanes, v);
    std::memcpy(out, lanes, sizeof(float) * left);
  }
}

// Accumulator of kRows rows of kCols vectors, rows `step` floats apart in the output.
template <int kRows, int kCols>
LNX_INLINE void begin_tile(const ConvArgs& a, const Tile& t, int64_t step,
                           Vec (&acc)[kRows * kCols]) {
  if (t.first) {
    const Vec bias = set1(a.bias[t.filter]);
    LNX_UNROLL for (int i = 0; i < kRows * kCols; ++i) acc[i] = bias;
    return;
  }
  const float* out = a.out + t.filter * a.out_stride + t.position;
  LNX_UNROLL for (int r = 0; r < kRows; ++r) LNX_UNROLL for (int v = 0; v < kCols; ++v)
      acc[r * kCols + v] = load(out + r * step + v * kLanes);
}

template <int kRows, int kCols>
LNX_INLINE void end_tile(const ConvArgs& a, const Tile& t, int64_t step,
                         Vec (&acc)[kRows * kCols]) {
  const int64_t start = t.filter * a.out_stride + t.position;
  if (t.last) {
    if (a.residual) {
      const float* residual = a.residual + start;
      LNX_UNROLL for (int r = 0; r < kRows; ++r) LNX_UNROLL for (int v = 0; v < kCols; ++v)
          acc[r * kCols + v] = add(acc[r * kCols + v], load(residual + r * step + v * kLanes));
    }
    if (a.relu) {
      LNX_UNROLL for (int i = 0; i < kRows * kCols; ++i) acc[i] = max(zero(), acc[i]);
    }
    LNX_UNROLL for (int r = 0; r < kRows; ++r) LNX_UNROLL for (int v = 0; v < kCols; ++v)
        acc[r * kCols + v] = keep(acc[r * kCols + v], a.mask, t.position + r * step + v * kLanes);
  }
  float* out = a.out + start;
  LNX_UNROLL for (int r = 0; r < kRows; ++r) LNX_UNROLL for (int v = 0; v < kCols; ++v)
      store(out + r * step + v * kLanes, acc[r * kCols + v]);
}

// Computes one tile: `in` is the input at the tile's position in the block's first channel, and n
// slices follow `channel` and `values`.
using TileFn = void (*)(const ConvArgs& a, const Tile& t, const float* in, const uint16_t* channel,
                        const float* values, uint32_t n);

// Runs one tile for each unit of a range and each channel block, so that the block's part of the
// input stays in the first-level cache for all filters.
LNX_INLINE void for_each_block(const ConvArgs& a, TileFn fn, int64_t position, int filters_per_unit,
                               int begin, int end) {
  const int64_t slice_floats = static_cast<int64_t>(a.num_taps) * filters_per_unit;
  for (int b = 0; b < a.blocks; ++b) {
    const float* in =
        a.in + static_cast<int64_t>(b) * a.block_channels * a.channel_stride + position;
    const uint32_t* ptr = a.ptr + static_cast<int64_t>(b) * a.units;
    const bool first = b == 0, last = b == a.blocks - 1;
    for (int u = begin; u < end; ++u) {
      const uint32_t k = ptr[u], n = ptr[u + 1] - k;
      if (n == 0 && !first && !last) continue;
      const Tile t{u * filters_per_unit, position, first, last};
      fn(a, t, in, a.channel + k, a.values + k * slice_floats, n);
    }
  }
}

}  // namespace lnx::LNX_ISA
