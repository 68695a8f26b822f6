// 3x3, stride 1, padding 1, for images of at most 7 columns on 16 lanes: rows are 8 floats, so a
// vector holds two of them.
#pragma once

#include "cpu/kernels/tile.h"

namespace lnx::LNX_ISA {

constexpr int kPairsTile = 4;

// Each row of taps has accumulators of its own: four vectors of output are too few to hide the
// latency of a chain of nine additions.
template <int kVectors>
void pairs3x3_tile(const ConvArgs& a, const Tile& t, const float* in, const uint16_t* channel,
                   const float* values, uint32_t n) {
  Vec acc[kVectors], above[kVectors], below[kVectors];
  begin_tile<1, kVectors>(a, t, 0, acc);
  LNX_UNROLL for (int v = 0; v < kVectors; ++v) above[v] = below[v] = zero();
  for (uint32_t k = 0; k < n; ++k, values += 9) {
    const float* x = in + channel[k] * a.channel_stride;
    Vec w[9];
    LNX_UNROLL for (int i = 0; i < 9; ++i) w[i] = set1(values[i]);
    Vec prev = load(x - kLanes);
    LNX_UNROLL for (int v = 0; v <= kVectors; ++v) {
      const Vec cur = load(x + v * kLanes);
      // Rows 2v - 1 and 2v: above the outputs of vector v, and below those of vector v - 1.
      const Vec mid = middle(prev, cur);
      const Vec mid_left = left(zero(), mid), mid_right = right(mid, mid);
      if (v < kVectors) {
        above[v] = fma(w[0], mid_left, above[v]);
        above[v] = fma(w[1], mid, above[v]);
        above[v] = fma(w[2], mid_right, above[v]);
        acc[v] = fma(w[3], left(zero(), cur), acc[v]);
        acc[v] = fma(w[4], cur, acc[v]);
        acc[v] = fma(w[5], right(cur, cur), acc[v]);
      }
      if (v > 0) {
        below[v - 1] = fma(w[6], mid_left, below[v - 1]);
        below[v - 1] = fma(w[7], mid, below[v - 1]);
        below[v - 1] = fma(w[8], mid_right, below[v - 1]);
      }
      prev = cur;
    }
  }
  LNX_UNROLL for (int v = 0; v < kVectors; ++v) acc[v] = add(acc[v], add(above[v], below[v]));
  end_tile<1, kVectors>(a, t, 0, acc);
}

static void conv_pairs3x3(const ConvArgs& a, int begin, int end) {
  static constexpr TileFn table[kPairsTile] = {pairs3x3_tile<1>, pairs3x3_tile<2>, pairs3x3_tile<3>,
                                               pairs3x3_tile<4>};
  const int64_t vectors = (static_cast<int64_t>(a.height) * a.row_stride + kLanes - 1) / kLanes;
  const int64_t tiles = (vectors + kPairsTile - 1) / kPairsTile;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t from = split(vectors, tiles, i), to = split(vectors, tiles, i + 1);
    for_each_block(a, table[to - from - 1], from * kLanes, 1, begin, end);
  }
}

}  // namespace lnx::LNX_ISA
