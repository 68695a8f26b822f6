// 5x5 kernels, padded by two columns, whose tiles span several image rows, so that each loaded
// vector serves several taps. Depthwise layers come here too.
#pragma once

#include "cpu/kernels/step_tiles.h"

namespace lnx::LNX_ISA {

// Weights of some columns of the kernel, the first one and every kStep-th after it, in registers: a
// tile passes over its input once for them.
template <int kFirst, int kStep>
struct Columns5x5 {
  static constexpr int kCount = (4 - kFirst) / kStep + 1;
  Vec w[5 * kCount];

  LNX_INLINE_MEMBER explicit Columns5x5(const float* values) {
    LNX_UNROLL
    for (int ky = 0; ky < 5; ++ky) {
      LNX_UNROLL
      for (int i = 0; i < kCount; ++i)
        w[ky * kCount + i] = set1(values[ky * 5 + kFirst + i * kStep]);
    }
  }
  // Adds to column v of the accumulators what row r of the tile's input gives to them; rows of
  // output are kStride rows of input apart.
  template <int kStride, int kRows, int kCols>
  LNX_INLINE_MEMBER void add(const Vec (&under)[kCount], int r, int v,
                             Vec (&acc)[kRows * kCols]) const {
    LNX_UNROLL
    for (int ky = 0; ky < 5; ++ky) {
      const int o = r - ky;
      if (o < 0 || o % kStride != 0 || o / kStride >= kRows) continue;
      LNX_UNROLL
      for (int i = 0; i < kCount; ++i) {
        Vec& sum = acc[o / kStride * kCols + v];
        sum = fma(w[ky * kCount + i], under[i], sum);
      }
    }
  }
};

// Stride 1: one pass for each column kX of the kernel.
template <int kX, int kRows, int kCols>
LNX_INLINE void column_pass5x5(const ConvArgs& a, const Block& b, const float* x,
                               const float* values, Vec (&acc)[kRows * kCols]) {
  const Columns5x5<kX, 5> column(values);
  const Vec left_edge = all_bits(!b.leftmost), right_edge = all_bits(!b.rightmost);
  const int64_t before = b.leftmost ? 0 : -kLanes, after = b.rightmost ? 0 : kCols * kLanes;
  LNX_UNROLL
  for (int r = 0; r < kRows + 4; ++r) {
    const float* row = x + r * static_cast<int64_t>(a.in_row_stride);
    Vec prev = zero();
    if (kX < 2) prev = both(load(row + before), left_edge);
    Vec cur = load(row);
    LNX_UNROLL
    for (int v = 0; v < kCols; ++v) {
      Vec next = zero();
      if (v + 1 < kCols) {
        next = load(row + (v + 1) * kLanes);
      } else if (kX > 2) {
        next = both(load(row + after), right_edge);
      }
      Vec under[1] = {cur};
      if (kX == 0) under[0] = left2(prev, cur);
      if (kX == 1) under[0] = left(prev, cur);
      if (kX == 3) under[0] = right(cur, next);
      if (kX == 4) under[0] = right2(cur, next);
      column.template add<1, kRows, kCols>(under, r, v, acc);
      prev = cur;
      cur = next;
    }
  }
}

template <int kRows, int kCols>
LNX_INLINE void slice5x5(const ConvArgs& a, const Block& b, const float* x, const float* values,
                         Vec (&acc)[kRows * kCols]) {
  column_pass5x5<0, kRows, kCols>(a, b, x, values, acc);
  column_pass5x5<1, kRows, kCols>(a, b, x, values, acc);
  column_pass5x5<2, kRows, kCols>(a, b, x, values, acc);
  column_pass5x5<3, kRows, kCols>(a, b, x, values, acc);
  column_pass5x5<4, kRows, kCols>(a, b, x, values, acc);
}

// Stride 2: columns 0, 2 and 4 of the kernel lie over even columns of the input, 1 and 3 over odd
// ones: one pass for each parity. Two columns to the right of the image are in memory.
template <int kRows, int kCols>
LNX_INLINE void slice5x5s2(const ConvArgs& a, const Block& b, const float* x, const float* values,
                           Vec (&acc)[kRows * kCols]) {
  const Vec left_edge = all_bits(!b.leftmost), right_edge = all_bits(!b.rightmost);
  const int64_t before = b.leftmost ? 0 : -2 * kLanes, after = b.rightmost ? 0 : 2 * kCols * kLanes;
  {
    const Columns5x5<0, 2> columns(values);
    LNX_UNROLL
    for (int r = 0; r < 2 * kRows + 3; ++r) {
      const float* row = x + r * static_cast<int64_t>(a.in_row_stride);
      Vec prev = both(even(load(row + before), load(row + before + kLanes)), left_edge);
      Vec cur = even(load(row), load(row + kLanes));
      LNX_UNROLL
      for (int v = 0; v < kCols; ++v) {
        const float* following = row + (v + 1 < kCols ? 2 * (v + 1) * kLanes : after);
        Vec next = even(load(following), load(following + kLanes));
        if (v + 1 == kCols) next = both(next, right_edge);
        columns.template add<2, kRows, kCols>({left(prev, cur), cur, right(cur, next)}, r, v, acc);
        prev = cur;
        cur = next;
      }
    }
  }
  const Columns5x5<1, 2> columns(values);
  LNX_UNROLL
  for (int r = 0; r < 2 * kRows + 3; ++r) {
    const float* row = x + r * static_cast<int64_t>(a.in_row_stride);
    Vec prev = both(odd(load(row + before), load(row + before + kLanes)), left_edge);
    LNX_UNROLL
    for (int v = 0; v < kCols; ++v) {
      const Vec cur = odd(load(row + 2 * v * kLanes), load(row + (2 * v + 1) * kLanes));
      columns.template add<2, kRows, kCols>({left(prev, cur), cur}, r, v, acc);
      prev = cur;
    }
  }
}

template <int kStride, int kRows, int kCols>
void rows5x5_block(const ConvArgs& args, const Block& b) {
  const ConvArgs a = args;
  const float* in = b.in + a.taps[2];  // the centre column of the uppermost row of taps
  for_each_unit<1>(a, b, 25,
                   [&](const Tile& t, const uint16_t* channel, const float* values, uint32_t n)
                       LNX_LAMBDA {
                         Vec acc[kRows * kCols];
                         begin_tile<kRows, kCols>(a, t, a.row_stride, acc);
                         for (uint32_t k = 0; k < n; ++k, values += 25) {
                           const float* x = in + channel[k] * a.channel_stride;
                           if constexpr (kStride == 1) {
                             slice5x5<kRows, kCols>(a, b, x, values, acc);
                           } else {
                             slice5x5s2<kRows, kCols>(a, b, x, values, acc);
                           }
                         }
                         end_tile<kRows, kCols>(a, t, a.row_stride, acc);
                       });
}

template <int kRows, int kCols>
struct Rows5x5 {
  static constexpr BlockFn fn = rows5x5_block<1, kRows, kCols>;
};

template <int kRows, int kCols>
struct Rows5x5s2 {
  static constexpr BlockFn fn = rows5x5_block<2, kRows, kCols>;
};

#ifdef LNX_HAS_PAIRS
// Rows of 8 floats on 16 lanes: a vector holds two of them. kVectors vectors of output a tile.
template <int kVectors>
LNX_INLINE void pairs_slice5x5(const float* x, const Columns5x5<0, 1>& w, Vec (&acc)[kVectors]) {
  // Vectors in steps of one row: that of step s holds rows s - 2 and s - 1 of the tile's input. It
  // lies under row ky of the kernel for the output vector (s - ky) / 2.
  Vec prev = zero(), cur = load(x);
  LNX_UNROLL
  for (int s = 0; s < 2 * kVectors + 3; ++s) {
    Vec rows = cur;
    if (s % 2 == 1) {
      prev = cur;
      cur = load(x + (s + 1) / 2 * kLanes);
      rows = middle(prev, cur);
    }
    const Vec under[5] = {left2_in_rows(rows), left_in_rows(rows), rows, right_in_rows(rows),
                          right2_in_rows(rows)};
    w.add<2, kVectors, 1>(under, s, 0, acc);
  }
}

// Stride 2 from rows of 16 floats: the even columns of two rows, and the odd ones.
template <int kVectors>
LNX_INLINE void pairs_slice5x5s2(const float* x, const Columns5x5<0, 1>& w, Vec (&acc)[kVectors]) {
  LNX_UNROLL
  for (int s = 0; s < 4 * kVectors + 1; ++s) {
    const Vec upper = load(x + s * kLanes), lower = load(x + (s + 2) * kLanes);
    const Vec evens = even(upper, lower), odds = odd(upper, lower);
    const Vec under[5] = {left_in_rows(evens), left_in_rows(odds), evens, odds,
                          right_in_rows(evens)};
    w.add<4, kVectors, 1>(under, s, 0, acc);
  }
}

template <int kStride, int kVectors>
void pairs5x5_block(const ConvArgs& args, const Block& b) {
  const ConvArgs a = args;
  const float* in = b.in + a.taps[2];
  for_each_unit<1>(a, b, 25,
                   [&](const Tile& t, const uint16_t* channel, const float* values, uint32_t n)
                       LNX_LAMBDA {
                         Vec acc[kVectors];
                         begin_tile<1, kVectors>(a, t, 0, acc);
                         for (uint32_t k = 0; k < n; ++k, values += 25) {
                           const Columns5x5<0, 1> w(values);
                           const float* x = in + channel[k] * a.channel_stride;
                           if constexpr (kStride == 1) {
                             pairs_slice5x5<kVectors>(x, w, acc);
                           } else {
                             pairs_slice5x5s2<kVectors>(x, w, acc);
                           }
                         }
                         end_tile<1, kVectors>(a, t, 0, acc);
                       });
}

template <int kStride>
static void pairs5x5(const ConvArgs& a, int begin, int end) {
  static constexpr BlockFn table[4] = {pairs5x5_block<kStride, 1>, pairs5x5_block<kStride, 2>,
                                       pairs5x5_block<kStride, 3>, pairs5x5_block<kStride, 4>};
  const int64_t vectors = (a.height + 1) / 2;
  const int64_t tiles = (vectors + 3) / 4;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t from = split(vectors, tiles, i), to = split(vectors, tiles, i + 1);
    run_tile(a, table[to - from - 1], kStride * 2 * from * a.in_row_stride, from * kLanes, begin,
             end);
  }
}
#endif

static void conv_rows5x5(const ConvArgs& a, int begin, int end) {
  for_each_step_tile<Rows5x5>(a, 1, begin, end);
}
static void conv_rows5x5s2(const ConvArgs& a, int begin, int end) {
  for_each_step_tile<Rows5x5s2>(a, 2, begin, end);
}
#ifdef LNX_HAS_PAIRS
static void conv_pairs5x5(const ConvArgs& a, int begin, int end) { pairs5x5<1>(a, begin, end); }
static void conv_pairs5x5s2(const ConvArgs& a, int begin, int end) { pairs5x5<2>(a, begin, end); }
#endif

}  // namespace lnx::LNX_ISA
