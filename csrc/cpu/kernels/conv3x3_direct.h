// 3x3, stride 2, padding 1, for channels that few filters read, depthwise layers above all: the
// even and odd columns are parted in registers. `stage` would part them once for all filters, but
// write them to memory for that.
#pragma once

#include "cpu/kernels/conv3x3.h"
#include "cpu/kernels/step_tiles.h"

namespace lnx::LNX_ISA {

// Each row of input is used for up to two rows of output: even columns under the middle taps, odd
// ones under the right taps, and shifted by a lane under the left ones.
template <int kRows, int kCols>
void direct3x3s2_block(const ConvArgs& args, const Block& b) {
  const ConvArgs a = args;
  const int64_t step = a.in_row_stride;
  const float* in = b.in + a.taps[1];  // the centre column of the uppermost row of taps
  const Vec left_edge = all_bits(!b.leftmost);
  // At the sides of the image there may be another value's memory: not read.
  const int64_t before = b.leftmost ? 0 : -2 * kLanes;
  const Part last_low = part(b.columns.in - (2 * kCols - 2) * kLanes);
  const Part last_high = part(b.columns.in - (2 * kCols - 1) * kLanes);
  const int tail = lanes_left(b.columns.out - (kCols - 1) * kLanes);
  for_each_unit<1>(
      a, b, 9,
      [&](const Tile& t, const uint16_t* channel, const float* values, uint32_t n) LNX_LAMBDA {
        Vec acc[kRows * kCols];
        begin_tile<kRows, kCols>(a, t, a.row_stride, acc);
        for (uint32_t k = 0; k < n; ++k, values += 9) {
          const float* x = in + channel[k] * a.channel_stride;
          Vec w[9];
          LNX_UNROLL
          for (int i = 0; i < 9; ++i) w[i] = set1(values[i]);
          LNX_UNROLL
          for (int r = 0; r < 2 * kRows + 1; ++r) {
            const float* row = x + r * step;
            Vec prev = both(odd(load(row + before), load(row + before + kLanes)), left_edge);
            LNX_UNROLL
            for (int v = 0; v < kCols; ++v) {
              const float* columns = row + 2 * v * kLanes;
              const bool last = v == kCols - 1;
              const Vec low = last ? load_part(columns, last_low) : load(columns);
              const Vec high =
                  last ? load_part(columns + kLanes, last_high) : load(columns + kLanes);
              const Vec right_taps = odd(low, high);
              const Vec under[3] = {left(prev, right_taps), even(low, high), right_taps};
              LNX_UNROLL
              for (int kx = 0; kx < 3; ++kx) {
                LNX_UNROLL
                for (int ky = 0; ky < 3; ++ky) {
                  const int o = r - ky;
                  if (o % 2 == 0 && o >= 0 && o / 2 < kRows)
                    acc[o / 2 * kCols + v] = fma(w[ky * 3 + kx], under[kx], acc[o / 2 * kCols + v]);
                }
              }
              prev = right_taps;
            }
          }
        }
        end_rows<kRows, kCols>(a, t, a.row_stride, tail, acc);
      });
}

template <int kRows, int kCols>
struct Direct3x3s2 {
  static constexpr BlockFn fn = direct3x3s2_block<kRows, kCols>;
};

static void conv_direct3x3s2(const ConvArgs& a, int begin, int end) {
  for_each_step_tile<Direct3x3s2>(a, 2, begin, end);
}

}  // namespace lnx::LNX_ISA
