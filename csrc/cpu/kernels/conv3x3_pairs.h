// 3x3 kernels for images of at most 8 columns on 16 lanes: a vector holds two rows.
#pragma once

#include "cpu/kernels/tile.h"

namespace lnx::LNX_ISA {

constexpr int kPairsTile = 4;

// Adds the three taps of one row of the kernel. Each row of taps has accumulators of its own: four
// vectors of output are too few to hide the latency of a chain of nine additions.
LNX_INLINE Vec add_taps(const Vec* w, Vec at_left, Vec at_centre, Vec at_right, Vec acc) {
  return fma(w[2], at_right, fma(w[1], at_centre, fma(w[0], at_left, acc)));
}

// Beginning and end of a tile whose vectors hold two rows of the output each. The second row of the
// last one may be outside of the image.
template <int kVectors>
LNX_INLINE void begin_pairs(const ConvArgs& a, const Tile& t, Part lanes, Vec (&acc)[kVectors]) {
  if (t.first) {
    const Vec bias = set1(a.bias[t.filter]);
    LNX_UNROLL
    for (int v = 0; v < kVectors; ++v) acc[v] = bias;
    if (!a.residual) return;
    const float* residual = a.residual + t.filter * a.out_stride + t.position;
    LNX_UNROLL
    for (int v = 0; v < kVectors; ++v)
      acc[v] = add(bias, load_rows(residual + 2 * v * a.row_stride, a.row_stride, lanes));
    return;
  }
  const float* out = a.out + t.filter * a.out_stride + t.position;
  LNX_UNROLL
  for (int v = 0; v < kVectors; ++v)
    acc[v] = load_rows(out + 2 * v * a.row_stride, a.row_stride, lanes);
}

template <int kVectors>
LNX_INLINE void end_pairs(const ConvArgs& a, const Tile& t, Part lanes, int rows,
                          Vec (&acc)[kVectors]) {
  const int64_t start = t.filter * a.out_stride + t.position;
  if (t.last) {
    LNX_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      if (a.activation == Activation::kRelu) acc[v] = relu(acc[v]);
      if (a.activation == Activation::kRelu6) acc[v] = relu6(acc[v]);
    }
  }
  float* out = a.out + start;
  LNX_UNROLL
  for (int v = 0; v < kVectors; ++v)
    store_rows(out + 2 * v * a.row_stride, a.row_stride, acc[v],
               2 * v + 1 < rows ? lanes : static_cast<Part>(lanes & 0xFF));
  if (t.last && !is_inline(a.activation))
    for (int r = 0; r < 2 * kVectors && r < rows; ++r)
      activate(out + r * a.row_stride, a.width, a.activation);
}

// Stride 1, padding 1.
template <int kVectors>
void pairs3x3_block(const ConvArgs& args, const Block& b) {
  const ConvArgs a = args;
  const Part lanes = twice(part(a.width));
  const int rows = a.height - static_cast<int>(b.position / a.row_stride);
  for_each_unit<1>(
      a, b, 9,
      [&](const Tile& t, const uint16_t* channel, const float* values, uint32_t n) LNX_LAMBDA {
        Vec acc[kVectors], above[kVectors], below[kVectors];
        begin_pairs<kVectors>(a, t, lanes, acc);
        LNX_UNROLL
        for (int v = 0; v < kVectors; ++v) above[v] = below[v] = zero();
        for (uint32_t k = 0; k < n; ++k, values += 9) {
          const float* x = b.in + channel[k] * a.channel_stride;
          Vec w[9];
          LNX_UNROLL
          for (int i = 0; i < 9; ++i) w[i] = set1(values[i]);
          Vec prev = load_rows(x - 2 * a.row_stride, a.row_stride, lanes);
          LNX_UNROLL
          for (int v = 0; v <= kVectors; ++v) {
            const Vec cur = load_rows(x + 2 * v * a.row_stride, a.row_stride, lanes);
            // Rows 2v - 1 and 2v: above the outputs of vector v, and below those of vector v - 1.
            const Vec mid = middle(prev, cur);
            const Vec mid_left = left_in_rows(mid), mid_right = right_in_rows(mid);
            if (v < kVectors) {
              above[v] = add_taps(w, mid_left, mid, mid_right, above[v]);
              acc[v] = add_taps(w + 3, left_in_rows(cur), cur, right_in_rows(cur), acc[v]);
            }
            if (v > 0) below[v - 1] = add_taps(w + 6, mid_left, mid, mid_right, below[v - 1]);
            prev = cur;
          }
        }
        LNX_UNROLL
        for (int v = 0; v < kVectors; ++v) acc[v] = add(acc[v], add(above[v], below[v]));
        end_pairs<kVectors>(a, t, lanes, rows, acc);
      });
}

LNX_INLINE void for_each_pairs_tile(const ConvArgs& a, const BlockFn* table, int begin, int end) {
  const int64_t vectors = (a.height + 1) / 2;
  const int64_t tiles = (vectors + kPairsTile - 1) / kPairsTile;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t from = split(vectors, tiles, i), to = split(vectors, tiles, i + 1);
    run_tile(a, table[to - from - 1], 2 * from * a.in_row_stride, 2 * from * a.row_stride, begin,
             end);
  }
}

static void conv_pairs3x3(const ConvArgs& a, int begin, int end) {
  static constexpr BlockFn table[kPairsTile] = {pairs3x3_block<1>, pairs3x3_block<2>,
                                                pairs3x3_block<3>, pairs3x3_block<4>};
  for_each_pairs_tile(a, table, begin, end);
}

}  // namespace lnx::LNX_ISA
