// What all convolution kernels share: the beginning and the end of a tile.
// Included once per instruction set, after its vec_*.h.
#pragma once

#include <cstring>
#include <utility>

#include "cpu/kernels.h"
#include "cpu/kernels/activation.h"

namespace lnx::LNX_ISA {

// Where a tile stands: which filter, which flat output position, and whether its channel block is
// the first (start from the bias and the residual) and the last (apply the epilogue). Between
// blocks the partial sums wait in the output.
struct Tile {
  int filter;
  int64_t position;
  bool first, last;
  bool whole;  // whether all of it are pixels
};

// Splits `total` into `parts` ranges of nearly equal length: begin of range i.
LNX_INLINE int64_t split(int64_t total, int64_t parts, int64_t i) { return total * i / parts; }

// Accumulator of kRows rows of kCols vectors, rows `step` floats apart in the output.
template <int kRows, int kCols>
LNX_INLINE void begin_tile(const ConvArgs& a, const Tile& t, int64_t step,
                           Vec (&acc)[kRows * kCols]) {
  if (t.first) {
    const Vec bias = set1(a.bias[t.filter]);
    LNX_UNROLL
    for (int i = 0; i < kRows * kCols; ++i) acc[i] = bias;
    if (!a.residual) return;
    const float* residual = a.residual + t.filter * a.out_stride + t.position;
    LNX_UNROLL
    for (int r = 0; r < kRows; ++r) {
      LNX_UNROLL
      for (int v = 0; v < kCols; ++v)
        acc[r * kCols + v] = add(bias, load(residual + r * step + v * kLanes));
    }
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
    if (a.activation == Activation::kRelu) {
      LNX_UNROLL
      for (int i = 0; i < kRows * kCols; ++i) acc[i] = relu(acc[i]);
    } else if (a.activation == Activation::kRelu6) {
      LNX_UNROLL
      for (int i = 0; i < kRows * kCols; ++i) acc[i] = relu6(acc[i]);
    }
    if (!t.whole) {
      LNX_UNROLL
      for (int r = 0; r < kRows; ++r) {
        LNX_UNROLL
        for (int v = 0; v < kCols; ++v)
          acc[r * kCols + v] = keep(acc[r * kCols + v], mask, rest + r * step + v * kLanes);
      }
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

// The same for kernels that go by rows, of which only the first `tail` lanes of the last vector are
// pixels: what follows a row may be the next one.
template <int kRows, int kCols>
LNX_INLINE void end_rows(const ConvArgs& a, const Tile& t, int64_t step, int tail,
                         Vec (&acc)[kRows * kCols]) {
  const int64_t start = t.filter * a.out_stride + t.position;
  if (t.last) {
    if (a.activation == Activation::kRelu) {
      LNX_UNROLL
      for (int i = 0; i < kRows * kCols; ++i) acc[i] = relu(acc[i]);
    } else if (a.activation == Activation::kRelu6) {
      LNX_UNROLL
      for (int i = 0; i < kRows * kCols; ++i) acc[i] = relu6(acc[i]);
    }
  }
  const Part lanes = part(tail);
  float* out = a.out + start;
  LNX_UNROLL
  for (int r = 0; r < kRows; ++r) {
    LNX_UNROLL
    for (int v = 0; v + 1 < kCols; ++v) store(out + r * step + v * kLanes, acc[r * kCols + v]);
    store_part(out + r * step + (kCols - 1) * kLanes, acc[r * kCols + kCols - 1], lanes);
  }
  if (t.last && !is_inline(a.activation))
    for (int r = 0; r < kRows; ++r)
      activate(out + r * step, (kCols - 1) * kLanes + tail, a.activation);
}

// Pixels of the input and of the output from a tile's first column to the image's last.
struct Columns {
  int in, out;
};

// One channel block over one tile.
struct Block {
  const float* in;           // the input at the tile's position, in the block's first channel
  const uint32_t* unit;      // the order of the units
  const uint32_t* ptr;       // where the slices at each place begin; one more entry than units
  int64_t position;          // of the tile in the output
  int begin, end;            // places of the units to compute
  bool first, last;          // among the channel blocks
  bool whole;                // whether all of the tile are pixels
  bool leftmost, rightmost;  // whether the columns beside the tile are outside of the image
  Columns columns;           // row kernels only
};

using BlockFn = void (*)(const ConvArgs&, const Block&);

constexpr int64_t kWeightsAhead = 2048;
// Slices of at least so many floats are asked for one by one, by the kernels: as many lines at once
// as a filter of a wide layer has would hold up the loads behind them.
constexpr int64_t kLongSlice = 12;

// Asks for the weights some slices ahead.
LNX_INLINE void prefetch_slice(const float* values) {
  const char* ahead = reinterpret_cast<const char*>(values) + kWeightsAhead;
  __builtin_prefetch(ahead);
  __builtin_prefetch(ahead + 64);
}

constexpr int kSumsAhead = 4;

// Asks for the kVectors vectors that a unit some places on will start from and write. Nothing else
// does: the next filter's are a plane away.
template <int kVectors>
LNX_INLINE void prefetch_sums(const ConvArgs& a, const Block& b, int place) {
  const int64_t start = static_cast<int64_t>(b.unit[place]) * a.out_stride + b.position;
  LNX_UNROLL
  for (int v = 0; v < kVectors; ++v) __builtin_prefetch(a.out + start + v * kLanes, 1);
  if (!a.residual || a.residual == a.out) return;
  LNX_UNROLL
  for (int v = 0; v < kVectors; ++v) __builtin_prefetch(a.residual + start + v * kLanes);
}

// Calls fn(tile, channels, values, number of slices) for each unit of a block. Must be inlined into
// the kernel: a call for each of the few slices that a unit has in a block would cost a third.
// kSums vectors of sums are asked for ahead, where that pays.
template <int kFiltersPerUnit, int kSums = 0, typename Fn>
LNX_INLINE void for_each_unit(const ConvArgs& a, const Block& b, int64_t slice_floats, Fn fn) {
  uint32_t k = b.ptr[b.begin];
  for (int i = b.begin; i < b.end; ++i) {
    const uint32_t next = b.ptr[i + 1];
    const Tile t{static_cast<int>(b.unit[i]) * kFiltersPerUnit, b.position, b.first, b.last,
                 b.whole};
    // Weights are read once a tile, often from memory; their end is some units ahead.
    const char* ahead = (a.codes ? reinterpret_cast<const char*>(a.codes + k)
                                 : reinterpret_cast<const char*>(a.values + k * slice_floats)) +
                        kWeightsAhead;
    const int64_t bytes = (next - k) * (a.codes ? 1 : slice_floats * 4);
    if (slice_floats < kLongSlice)
      for (int64_t line = 0; line < bytes; line += 64) __builtin_prefetch(ahead + line);
    __builtin_prefetch(reinterpret_cast<const char*>(a.channel + k) + kWeightsAhead / 2);
    if (kSums > 0 && a.ask_ahead && b.first && i + kSumsAhead < b.end)
      prefetch_sums<kSums>(a, b, i + kSumsAhead);
    if (next != k || b.first || b.last) fn(t, a.channel + k, a.values + k * slice_floats, next - k);
    k = next;
  }
}

// Runs all channel blocks over one tile. A block's part of the input stays in the first-level cache
// for all units.
LNX_INLINE void run_tile(const ConvArgs& a, BlockFn fn, int64_t in_position, int64_t position,
                         int begin, int end, bool whole = false, bool leftmost = false,
                         bool rightmost = false, Columns columns = {}) {
  for (int i = 0; i < a.blocks; ++i) {
    Block b;
    b.in = a.in + static_cast<int64_t>(i) * a.block_channels * a.channel_stride + in_position;
    b.unit = a.unit + static_cast<int64_t>(i) * a.units;
    b.ptr = a.ptr + static_cast<int64_t>(i) * a.units;
    b.position = position;
    b.begin = begin;
    b.end = end;
    b.first = i == 0;
    b.last = i == a.blocks - 1;
    b.whole = whole;
    b.leftmost = leftmost;
    b.rightmost = rightmost;
    b.columns = columns;
    fn(a, b);
  }
}

}  // namespace lnx::LNX_ISA
