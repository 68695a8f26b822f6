// 3x3, stride 1, padding 1, to at most 8 columns on 16 lanes, by Winograd's F(4, 3) down the
// columns: a vector holds a row of each of two quads of rows, which follow each other.
#pragma once

#include "cpu/kernels/conv3x3_pairs.h"
#include "cpu/kernels/winograd.h"

namespace lnx::LNX_ISA {

constexpr int kWinogradPairsTile = 2;  // vectors of eight rows of output

// Of a row in each quad those lanes whose row is inside of the image.
LNX_INLINE Part lanes_of_quads(Part lanes, int row, int height) {
  const Part low = row >= 0 && row < height ? 0xFF : 0;
  const Part high = row + kOutputs >= 0 && row + kOutputs < height ? 0xFF00 : 0;
  return static_cast<Part>(lanes & (low | high));
}

static void winograd_pairs(const WinogradArgs& a, int begin, int end) {
  const Part lanes = twice(part(a.width));
  const int64_t step = a.in_row_stride;
  for (int c = begin; c < end; ++c) {
    const float* in = a.in + c * a.in_stride;
    float* out = a.out + c * a.out_stride;
    for (int y = 0; y < a.height; y += 2 * kOutputs, out += kPoints * kLanes) {
      Vec d[kPoints];
      LNX_UNROLL
      for (int i = 0; i < kPoints; ++i)
        d[i] = load_rows(in + (y + i - 1) * step, kOutputs * step,
                         lanes_of_quads(lanes, y + i - 1, a.height));
      store_transformed(out, kLanes, d);
    }
  }
}

template <int kVectors>
void winograd_pairs_block(const ConvArgs& args, const Block& b) {
  const ConvArgs a = args;
  const Part lanes = twice(part(a.width));
  const int64_t step = a.row_stride;
  const int top = static_cast<int>(b.position / step);
  for_each_unit<1>(
      a, b, kWinogradWeights,
      [&](const Tile& t, const uint16_t* channel, const float* values, uint32_t n) LNX_LAMBDA {
        // The taps at the sides have sums of their own: chains of additions would be too long.
        Vec centre[kVectors][kPoints], sides[kVectors][kPoints];
        LNX_UNROLL
        for (int v = 0; v < kVectors; ++v) {
          LNX_UNROLL
          for (int i = 0; i < kPoints; ++i) centre[v][i] = sides[v][i] = zero();
        }
        for (uint32_t k = 0; k < n; ++k, values += kWinogradWeights) {
          const float* x = b.in + channel[k] * a.channel_stride;
          prefetch_slice(values);
          LNX_UNROLL
          for (int i = 0; i < kPoints; ++i) {
            const Vec w[3] = {set1(values[i * 3]), set1(values[i * 3 + 1]),
                              set1(values[i * 3 + 2])};
            LNX_UNROLL
            for (int v = 0; v < kVectors; ++v) {
              const Vec cur = load(x + (v * kPoints + i) * kLanes);
              centre[v][i] = fma(w[1], cur, centre[v][i]);
              sides[v][i] =
                  fma(w[2], right_in_rows(cur), fma(w[0], left_in_rows(cur), sides[v][i]));
            }
          }
        }
        const int64_t start = t.filter * a.out_stride;
        const Vec bias = t.first ? set1(a.bias[t.filter]) : zero();
        const float* more = t.first ? a.residual : a.out;
        LNX_UNROLL
        for (int v = 0; v < kVectors; ++v) {
          Vec y[kOutputs];
          LNX_UNROLL
          for (int i = 0; i < kPoints; ++i) centre[v][i] = add(centre[v][i], sides[v][i]);
          outputs_of_sums(centre[v], y);
          LNX_UNROLL
          for (int i = 0; i < kOutputs; ++i) {
            const int row = top + 2 * kOutputs * v + i;
            const int64_t at = start + row * step;
            const Part inside = lanes_of_quads(lanes, row, a.height);
            Vec sum = add(y[i], bias);
            if (more) sum = add(sum, load_rows(more + at, kOutputs * step, inside));
            if (t.last) sum = inline_activation(a.activation, sum);
            store_rows(a.out + at, kOutputs * step, sum, inside);
          }
        }
        if (t.last && !is_inline(a.activation))
          for (int r = top; r < top + 2 * kOutputs * kVectors && r < a.height; ++r)
            activate(a.out + start + r * step, a.width, a.activation);
      });
}

static void conv_winograd_pairs3x3(const ConvArgs& a, int begin, int end) {
  static constexpr BlockFn table[kWinogradPairsTile] = {winograd_pairs_block<1>,
                                                        winograd_pairs_block<2>};
  const int64_t vectors = (a.height + 2 * kOutputs - 1) / (2 * kOutputs);
  const int64_t tiles = (vectors + a.tile - 1) / a.tile;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t from = split(vectors, tiles, i), to = split(vectors, tiles, i + 1);
    run_tile(a, table[to - from - 1], from * kPoints * kLanes, 2 * kOutputs * from * a.row_stride,
             begin, end);
  }
}

}  // namespace lnx::LNX_ISA
