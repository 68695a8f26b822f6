// 3x3 kernels for images of at most 8 columns on 16 lanes: rows are 8 floats, so a vector holds
// two.
#pragma once

#include "cpu/kernels/tile.h"

namespace lnx::LNX_ISA {

constexpr int kPairsTile = 4;

// Adds the three taps of one row of the kernel. Each row of taps has accumulators of its own: four
// vectors of output are too few to hide the latency of a chain of nine additions.
LNX_INLINE Vec add_taps(const Vec* w, Vec at_left, Vec at_centre, Vec at_right, Vec acc) {
  return fma(w[2], at_right, fma(w[1], at_centre, fma(w[0], at_left, acc)));
}

// Stride 1, padding 1.
template <int kVectors>
void pairs3x3_block(const ConvArgs& args, const Block& b) {
  const ConvArgs a = args;
  for_each_unit<1>(
      a, b, 9,
      [&](const Tile& t, const uint16_t* channel, const float* values, uint32_t n) LNX_LAMBDA {
        Vec acc[kVectors], above[kVectors], below[kVectors];
        begin_tile<1, kVectors>(a, t, 0, acc);
        LNX_UNROLL
        for (int v = 0; v < kVectors; ++v) above[v] = below[v] = zero();
        for (uint32_t k = 0; k < n; ++k, values += 9) {
          const float* x = b.in + channel[k] * a.channel_stride;
          Vec w[9];
          LNX_UNROLL
          for (int i = 0; i < 9; ++i) w[i] = set1(values[i]);
          Vec prev = load(x - kLanes);
          LNX_UNROLL
          for (int v = 0; v <= kVectors; ++v) {
            const Vec cur = load(x + v * kLanes);
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
        end_tile<1, kVectors>(a, t, 0, acc);
      });
}

// Stride 2, padding 1, from rows of 16 floats: the even columns of two rows make one vector, and so
// do the odd ones.
template <int kVectors>
void pairs3x3s2_block(const ConvArgs& args, const Block& b) {
  const ConvArgs a = args;
  for_each_unit<1>(
      a, b, 9,
      [&](const Tile& t, const uint16_t* channel, const float* values, uint32_t n) LNX_LAMBDA {
        Vec acc[kVectors], above[kVectors], below[kVectors];
        begin_tile<1, kVectors>(a, t, 0, acc);
        LNX_UNROLL
        for (int v = 0; v < kVectors; ++v) above[v] = below[v] = zero();
        for (uint32_t k = 0; k < n; ++k, values += 9) {
          const float* x = b.in + channel[k] * a.channel_stride - kLanes;  // the row above
          Vec w[9];
          LNX_UNROLL
          for (int i = 0; i < 9; ++i) w[i] = set1(values[i]);
          LNX_UNROLL
          for (int v = 0; v < kVectors; ++v) {
            Vec* sums[3] = {&above[v], &acc[v], &below[v]};
            LNX_UNROLL
            for (int ky = 0; ky < 3; ++ky) {
              const Vec upper = load(x + (4 * v + ky) * kLanes);
              const Vec lower = load(x + (4 * v + ky + 2) * kLanes);
              const Vec at_right = odd(upper, lower);
              *sums[ky] = add_taps(w + 3 * ky, left_in_rows(at_right), even(upper, lower), at_right,
                                   *sums[ky]);
            }
          }
        }
        LNX_UNROLL
        for (int v = 0; v < kVectors; ++v) acc[v] = add(acc[v], add(above[v], below[v]));
        end_tile<1, kVectors>(a, t, 0, acc);
      });
}

// Input rows per output row give the input's position: kStride rows of 8 * kStride floats.
template <int kStride>
LNX_INLINE void for_each_pairs_tile(const ConvArgs& a, const BlockFn* table, int begin, int end) {
  const int64_t vectors = (static_cast<int64_t>(a.height) * a.row_stride + kLanes - 1) / kLanes;
  const int64_t tiles = (vectors + kPairsTile - 1) / kPairsTile;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t from = split(vectors, tiles, i), to = split(vectors, tiles, i + 1);
    run_tile(a, table[to - from - 1], kStride * kStride * from * kLanes, from * kLanes, begin, end);
  }
}

static void conv_pairs3x3(const ConvArgs& a, int begin, int end) {
  static constexpr BlockFn table[kPairsTile] = {pairs3x3_block<1>, pairs3x3_block<2>,
                                                pairs3x3_block<3>, pairs3x3_block<4>};
  for_each_pairs_tile<1>(a, table, begin, end);
}

static void conv_pairs3x3s2(const ConvArgs& a, int begin, int end) {
  static constexpr BlockFn table[kPairsTile] = {pairs3x3s2_block<1>, pairs3x3s2_block<2>,
                                                pairs3x3s2_block<3>, pairs3x3s2_block<4>};
  for_each_pairs_tile<2>(a, table, begin, end);
}

}  // namespace lnx::LNX_ISA
