// 3x3, stride 2, padding 1, to at most 8 columns on 16 lanes, by Winograd's F(2, 2) down the
// columns. Odd rows of the input lie under two rows of taps, even ones under one: y[j] = a odd[j] +
// b even[j] + c odd[j + 1]. Two outputs above each other take three products of the odd rows in
// place of four:
//   m0 = (odd[j] - odd[j + 1]) a               y[j]     = m0 + m1 + b even[j]
//   m1 = odd[j + 1] (a + c)                    y[j + 1] = m1 + m2 + b even[j + 1]
//   m2 = (odd[j + 2] - odd[j + 1]) c
// A vector holds a row of each of two such pairs, which follow each other.
#pragma once

#include "cpu/kernels/conv3x3_pairs.h"

namespace lnx::LNX_ISA {

constexpr int kStridedWeights = 12;
constexpr int kStridedRows = 5;   // made of the input for each pair, in even and in odd columns
constexpr int kStridedTile = 2;   // vectors of four rows of output
constexpr int kStridedPairs = 4;  // rows of output in a vector

// Of each channel five vectors of even columns for every four rows of output, then as many of odd
// ones.
static void transform_strided_pairs(const WinogradArgs& a, int begin, int end) {
  const Part lanes = part(a.width);
  const int out_height = (a.height + 1) / 2;
  for (int c = begin; c < end; ++c) {
    const float* in = a.in + c * a.in_stride;
    float* out = a.out + c * a.out_stride;
    for (int j = 0; j < out_height; j += kStridedPairs, out += 2 * kStridedRows * kLanes) {
      const auto row = [&](int y) LNX_LAMBDA {
        return y >= 0 && y < a.height
                   ? load_part(in + static_cast<int64_t>(y) * a.in_row_stride, lanes)
                   : zero();
      };
      Vec columns[2][kStridedRows];  // of the rows above the pair's centres to those below them
      LNX_UNROLL
      for (int i = 0; i < kStridedRows; ++i) {
        const Vec upper = row(2 * j - 1 + i), lower = row(2 * j + 3 + i);
        columns[0][i] = even(upper, lower);
        columns[1][i] = odd(upper, lower);
      }
      LNX_UNROLL
      for (int odds = 0; odds < 2; ++odds) {
        const Vec* r = columns[odds];
        float* to = out + odds * kStridedRows * kLanes;
        store(to, sub(r[0], r[2]));
        store(to + kLanes, r[2]);
        store(to + 2 * kLanes, sub(r[4], r[2]));
        store(to + 3 * kLanes, r[1]);
        store(to + 4 * kLanes, r[3]);
      }
    }
  }
}

template <int kVectors>
void pairs3x3s2_block(const ConvArgs& args, const Block& b) {
  const ConvArgs a = args;
  const Part lanes = twice(part(a.width));
  const int64_t step = a.row_stride;
  const int top = static_cast<int>(b.position / step);
  for_each_unit<1>(
      a, b, kStridedWeights,
      [&](const Tile& t, const uint16_t* channel, const float* values, uint32_t n) LNX_LAMBDA {
        Vec m[kVectors][kStridedRows];
        LNX_UNROLL
        for (int v = 0; v < kVectors; ++v) {
          LNX_UNROLL
          for (int i = 0; i < kStridedRows; ++i) m[v][i] = zero();
        }
        for (uint32_t k = 0; k < n; ++k, values += kStridedWeights) {
          const float* x = b.in + channel[k] * a.channel_stride;
          prefetch_slice(values);
          Vec w[kStridedWeights];
          LNX_UNROLL
          for (int i = 0; i < kStridedWeights; ++i) w[i] = set1(values[i]);
          LNX_UNROLL
          for (int v = 0; v < kVectors; ++v) {
            LNX_UNROLL
            for (int i = 0; i < kStridedRows; ++i) {
              // Both even rows are under the same taps.
              const Vec* taps = w + (i < 3 ? i : 3) * 3;
              const float* row = x + (2 * kStridedRows * v + i) * kLanes;
              const Vec right = load(row + kStridedRows * kLanes);
              m[v][i] = add_taps(taps, left_in_rows(right), load(row), right, m[v][i]);
            }
          }
        }
        const int64_t start = t.filter * a.out_stride;
        const Vec bias = t.first ? set1(a.bias[t.filter]) : zero();
        const float* more = t.first ? a.residual : a.out;
        LNX_UNROLL
        for (int v = 0; v < kVectors; ++v) {
          const Vec y[2] = {add(add(m[v][0], m[v][1]), m[v][3]),
                            add(add(m[v][2], m[v][1]), m[v][4])};
          LNX_UNROLL
          for (int i = 0; i < 2; ++i) {
            const int row = top + kStridedPairs * v + i;
            const int64_t at = start + row * step;
            const Part low = row < a.height ? lanes & 0xFF : 0;
            const Part inside = row + 2 < a.height ? lanes : low;
            Vec sum = add(y[i], bias);
            if (more) sum = add(sum, load_rows(more + at, 2 * step, inside));
            if (t.last && a.activation == Activation::kRelu) sum = relu(sum);
            if (t.last && a.activation == Activation::kRelu6) sum = relu6(sum);
            store_rows(a.out + at, 2 * step, sum, inside);
          }
        }
        if (t.last && !is_inline(a.activation))
          for (int r = top; r < top + kStridedPairs * kVectors && r < a.height; ++r)
            activate(a.out + start + r * step, a.width, a.activation);
      });
}

static void conv_pairs3x3s2(const ConvArgs& a, int begin, int end) {
  static constexpr BlockFn table[kStridedTile] = {pairs3x3s2_block<1>, pairs3x3s2_block<2>};
  const int64_t vectors = (a.height + kStridedPairs - 1) / kStridedPairs;
  const int64_t tiles = (vectors + kStridedTile - 1) / kStridedTile;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t from = split(vectors, tiles, i), to = split(vectors, tiles, i + 1);
    run_tile(a, table[to - from - 1], from * 2 * kStridedRows * kLanes,
             kStridedPairs * from * a.row_stride, begin, end);
  }
}

}  // namespace lnx::LNX_ISA
