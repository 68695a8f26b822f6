// What all convolution kernels share: the beginning and the end of a tile.
// Included once per instruction set, after its vec_*.h.
#pragma once

#include <cstring>
#include <utility>

#include "cpu/kernels.h"
#include "cpu/kernels/activation.h"

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
    LNX_UNROLL
    for (int i = 0; i < kRows * kCols; ++i) acc[i] = bias;
    return;
  }
  const float* out = a.out + t.filter * a.out_stride + t.position;
  LNX_UNROLL
  for (int r = 0; r < kRows; ++r) {
    LNX_UNROLL
    for (int v = 0; v < kCols; ++v) acc[r * kCols + v] = load(out + r * step + v * kLanes);
  }
}

template <int kRows, int kCols>
LNX_INLINE void end_tile(const ConvArgs& a, const Tile& t, int64_t step,
                         Vec (&acc)[kRows * kCols]) {
  const int64_t start = t.filter * a.out_stride + t.position;
  if (t.last) {
    const uint8_t* mask = a.mask + static_cast<uint64_t>(t.position) / 8;
    const int64_t rest = kLanes < 8 ? t.position % 8 : 0;
    if (a.residual) {
      const float* residual = a.residual + start;
      LNX_UNROLL
      for (int r = 0; r < kRows; ++r) {
        LNX_UNROLL
        for (int v = 0; v < kCols; ++v)
          acc[r * kCols + v] = add(acc[r * kCols + v], load(residual + r * step + v * kLanes));
      }
    }
    if (a.activation == Activation::kRelu) {
      LNX_UNROLL
      for (int i = 0; i < kRows * kCols; ++i) acc[i] = relu(acc[i]);
    } else if (a.activation == Activation::kRelu6) {
      LNX_UNROLL
      for (int i = 0; i < kRows * kCols; ++i) acc[i] = relu6(acc[i]);
    }
    LNX_UNROLL
    for (int r = 0; r < kRows; ++r) {
      LNX_UNROLL
      for (int v = 0; v < kCols; ++v)
        acc[r * kCols + v] = keep(acc[r * kCols + v], mask, rest + r * step + v * kLanes);
    }
  }
  float* out = a.out + start;
  LNX_UNROLL
  for (int r = 0; r < kRows; ++r) {
    LNX_UNROLL
    for (int v = 0; v < kCols; ++v) store(out + r * step + v * kLanes, acc[r * kCols + v]);
  }
  if (t.last && !is_inline(a.activation))
    activate_tile(out, a.mask + static_cast<uint64_t>(t.position) / 8,
                  kLanes < 8 ? t.position % 8 : 0, kRows, kCols, step, a.activation);
}

// One channel block over one tile.
struct Block {
  const float* in;           // the input at the tile's position, in the block's first channel
  const uint32_t* ptr;       // where each unit's slices begin; one more entry than units
  int64_t position;          // of the tile in the output
  int begin, end;            // units to compute
  bool first, last;          // among the channel blocks
  bool leftmost, rightmost;  // whether the columns beside the tile are outside of the image
};

using BlockFn = void (*)(const ConvArgs&, const Block&);

// Calls fn(tile, channels, values, number of slices) for each unit of a block. Must be inlined into
// the kernel: a call for each of the few slices that a unit has in a block would cost a third.
template <int kFiltersPerUnit, typename Fn>
LNX_INLINE void for_each_unit(const ConvArgs& a, const Block& b, int64_t slice_floats, Fn fn) {
  uint32_t k = b.ptr[b.begin];
  for (int u = b.begin; u < b.end; ++u) {
    const uint32_t next = b.ptr[u + 1];
    const Tile t{u * kFiltersPerUnit, b.position, b.first, b.last};
    if (next != k || b.first || b.last) fn(t, a.channel + k, a.values + k * slice_floats, next - k);
    k = next;
  }
}

// Runs all channel blocks over one tile. A block's part of the input stays in the first-level cache
// for all units.
LNX_INLINE void run_tile(const ConvArgs& a, BlockFn fn, int64_t in_position, int64_t position,
                         int begin, int end, bool leftmost = false, bool rightmost = false) {
  for (int i = 0; i < a.blocks; ++i) {
    Block b;
    b.in = a.in + static_cast<int64_t>(i) * a.block_channels * a.channel_stride + in_position;
    b.ptr = a.ptr + static_cast<int64_t>(i) * a.units;
    b.position = position;
    b.begin = begin;
    b.end = end;
    b.first = i == 0;
    b.last = i == a.blocks - 1;
    b.leftmost = leftmost;
    b.rightmost = rightmost;
    fn(a, b);
  }
}

}  // namespace lnx::LNX_ISA
