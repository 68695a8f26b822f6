// 3x3, stride 1, padding 1, by Winograd's F(2, 3) in one direction (Lavin and Gray, "Fast
// Algorithms for Convolutional Neural Networks", 2016): two outputs from four inputs beside each
// other take 4 multiplications a row of weights in place of 6, since sums and differences of the
// inputs are made once for all filters. Slices that are zero stay zero, so nothing is lost on
// sparse weights. Only for instruction sets with registers for the 12 weights of a slice beside the
// sums.
//
// Of a pair of outputs with inputs r0 to r3 around it and weights g0 to g2:
//   m0 = (r0 - r2) g0            y0 = m0 + m1 + m2
//   m1 = (r1 + r2) (g0 + g1 + g2) / 2
//   m2 = (r2 - r1) (g0 - g1 + g2) / 2
//   m3 = (r1 - r3) g2            y1 = m1 - m2 - m3
//
// Pairs lie along the rows, which makes the shifts to the left and to the right vanish: even and
// odd columns are split once. In images of at most 8 columns they lie down the columns.
#pragma once

#include "cpu/kernels/conv3x3.h"
#ifdef LNX_HAS_PAIRS
#include "cpu/kernels/conv3x3_pairs.h"
#endif

namespace lnx::LNX_ISA {

constexpr int kWinogradWeights = 12;
constexpr int kWinogradTile = 7;        // rows: four sums each
constexpr int kWinogradNarrowTile = 4;  // vectors of several rows

LNX_INLINE void store_transformed(float* out, int64_t step, Vec r0, Vec r1, Vec r2, Vec r3) {
  store(out, sub(r0, r2));
  store(out + step, add(r1, r2));
  store(out + 2 * step, sub(r2, r1));
  store(out + 3 * step, sub(r1, r3));
}

// The sums of pairs of outputs from those of a tile, and back: partial sums between channel blocks,
// the bias and the residual start as outputs.
LNX_INLINE void split_sums(Vec y0, Vec y1, Vec* m) {
  m[0] = y0;
  m[1] = m[2] = zero();
  m[3] = sub(zero(), y1);
}
LNX_INLINE Vec first_of_pair(const Vec* m) { return add(m[0], add(m[1], m[2])); }
LNX_INLINE Vec second_of_pair(const Vec* m) { return sub(sub(m[1], m[2]), m[3]); }

LNX_INLINE Vec inline_activation(Activation activation, Vec v) {
  if (activation == Activation::kRelu) return relu(v);
  if (activation == Activation::kRelu6) return relu6(v);
  return v;
}

// The transformed planes of each channel, four for each 2 * kLanes columns, with a vector a row;
// rows of zeros are above and below those of the image.
static void winograd_rows(const WinogradArgs& a, int begin, int end) {
  const int64_t plane = a.plane_stride;
  for (int c = begin; c < end; ++c)
    for (int y = -1; y <= a.height; ++y) {
      const float* in = a.in + c * a.in_stride + static_cast<int64_t>(y) * a.in_row_stride;
      const bool inside = y >= 0 && y < a.height;
      const auto columns = [&](int x) LNX_LAMBDA {
        return inside ? load_part(in + x, part(a.width - x)) : zero();
      };
      float* out = a.out + c * a.out_stride + (y + 1) * kLanes;
      Vec before = zero();
      Vec low = columns(0), high = columns(kLanes);
      for (int x = 0; x < a.width; x += 2 * kLanes, out += 4 * plane) {
        const Vec next_low = columns(x + 2 * kLanes), next_high = columns(x + 3 * kLanes);
        const Vec evens = even(low, high), odds = odd(low, high);
        store_transformed(out, plane, left(before, odds), evens, odds,
                          right(evens, even(next_low, next_high)));
        before = odds;
        low = next_low;
        high = next_high;
      }
    }
}

// Even and odd columns of 2 * kLanes floats, and back.
LNX_INLINE void add_columns(const float* from, Vec& evens, Vec& odds) {
  const Vec low = load(from), high = load(from + kLanes);
  evens = add(evens, even(low, high));
  odds = add(odds, odd(low, high));
}

// Stores `columns` of the 2 * kLanes floats that evens and odds make.
LNX_INLINE void store_columns(float* to, Vec evens, Vec odds, int columns) {
  store_part(to, zip_low(evens, odds), part(columns));
  store_part(to + kLanes, zip_high(evens, odds), part(columns - kLanes));
}

template <int kRows>
void winograd_block(const ConvArgs& args, const Block& b) {
  const ConvArgs a = args;
  const int64_t plane = a.taps[1];
  const int columns = b.columns.out < 2 * kLanes ? b.columns.out : 2 * kLanes;
  for_each_unit<1>(a, b, kWinogradWeights,
                   [&](const Tile& t, const uint16_t* channel, const float* values, uint32_t n)
                       LNX_LAMBDA {
                         const int64_t start = t.filter * a.out_stride + t.position;
                         float* out = a.out + start;
                         Vec m[kRows][4];
                         LNX_UNROLL
                         for (int r = 0; r < kRows; ++r) {
                           const int64_t p = r * static_cast<int64_t>(a.row_stride);
                           Vec evens = t.first ? set1(a.bias[t.filter]) : zero(), odds = evens;
                           if (!t.first) add_columns(out + p, evens, odds);
                           if (t.first && a.residual)
                             add_columns(a.residual + start + p, evens, odds);
                           split_sums(evens, odds, m[r]);
                         }
                         for (uint32_t k = 0; k < n; ++k, values += kWinogradWeights) {
                           const float* x = b.in + channel[k] * a.channel_stride;
                           LNX_UNROLL
                           for (int i = 0; i < 4; ++i, x += plane) {
                             const Vec w[3] = {set1(values[i * 3]), set1(values[i * 3 + 1]),
                                               set1(values[i * 3 + 2])};
                             LNX_UNROLL
                             for (int r = 0; r < kRows + 2; ++r) {
                               const Vec d = in_register(load(x + r * kLanes));
                               LNX_UNROLL
                               for (int ky = 0; ky < 3; ++ky) {
                                 const int o = r - ky;
                                 if (o >= 0 && o < kRows) m[o][i] = fma(w[ky], d, m[o][i]);
                               }
                             }
                           }
                         }
                         LNX_UNROLL
                         for (int r = 0; r < kRows; ++r) {
                           Vec evens = first_of_pair(m[r]), odds = second_of_pair(m[r]);
                           if (t.last) {
                             evens = inline_activation(a.activation, evens);
                             odds = inline_activation(a.activation, odds);
                           }
                           float* to = out + r * static_cast<int64_t>(a.row_stride);
                           store_columns(to, evens, odds, columns);
                           if (t.last && !is_inline(a.activation))
                             activate(to, columns, a.activation);
                         }
                       });
}

static void conv_winograd3x3(const ConvArgs& a, int begin, int end) {
  static constexpr BlockFn table[kWinogradTile] = {
      winograd_block<1>, winograd_block<2>, winograd_block<3>, winograd_block<4>,
      winograd_block<5>, winograd_block<6>, winograd_block<7>};
  const int64_t row_tiles = (a.height + a.tile_rows - 1) / a.tile_rows;
  for (int64_t i = 0; i < row_tiles; ++i) {
    const int64_t top = split(a.height, row_tiles, i);
    const int64_t rows = split(a.height, row_tiles, i + 1) - top;
    for (int x = 0; x < a.width; x += 2 * kLanes)
      run_tile(a, table[rows - 1], 2 * x / kLanes * a.taps[1] + top * kLanes,
               top * a.row_stride + x, begin, end, true, false, false, Columns{0, a.width - x});
  }
}

#ifdef LNX_HAS_PAIRS

// Images of 9 to 16 columns: eight pairs of columns are half a vector, so that a vector holds two
// rows. The four transformed planes of a channel follow each other, with rows of 8 floats and the
// row of zeros above the image first.
static void winograd_half_rows(const WinogradArgs& a, int begin, int end) {
  const int64_t plane = a.plane_stride;
  const Part lanes = part(a.width);
  for (int c = begin; c < end; ++c) {
    const float* in = a.in + c * a.in_stride;
    float* out = a.out + c * a.out_stride;
    for (int64_t y = -1; y < plane / 8 - 1; y += 2, out += kLanes) {
      const auto row = [&](int64_t r) LNX_LAMBDA {
        return r >= 0 && r < a.height ? load_part(in + r * a.in_row_stride, lanes) : zero();
      };
      const Vec upper = row(y), lower = row(y + 1);
      const Vec evens = even(upper, lower), odds = odd(upper, lower);
      store_transformed(out, plane, left_in_rows(odds), evens, odds, right_in_rows(evens));
    }
  }
}

template <int kVectors>
void winograd_half_block(const ConvArgs& args, const Block& b) {
  const ConvArgs a = args;
  const int64_t step = a.row_stride;
  const int rows = a.height - static_cast<int>(b.position / step);
  const int64_t plane = a.taps[1];
  for_each_unit<1>(
      a, b, kWinogradWeights,
      [&](const Tile& t, const uint16_t* channel, const float* values, uint32_t n) LNX_LAMBDA {
        const int64_t start = t.filter * a.out_stride + t.position;
        float* out = a.out + start;
        const Part lanes = part(a.width);
        Vec m[kVectors][4];
        LNX_UNROLL
        for (int v = 0; v < kVectors; ++v) {
          Vec evens = t.first ? set1(a.bias[t.filter]) : zero(), odds = evens;
          if (!t.first || a.residual) {
            const float* from = (t.first ? a.residual + start : out) + 2 * v * step;
            const Vec upper = load_part(from, lanes);
            const Vec lower = 2 * v + 1 < rows ? load_part(from + step, lanes) : zero();
            evens = add(evens, even(upper, lower));
            odds = add(odds, odd(upper, lower));
          }
          split_sums(evens, odds, m[v]);
        }
        for (uint32_t k = 0; k < n; ++k, values += kWinogradWeights) {
          const float* x = b.in + channel[k] * a.channel_stride;
          LNX_UNROLL
          for (int i = 0; i < 4; ++i, x += plane) {
            const Vec w[3] = {set1(values[i * 3]), set1(values[i * 3 + 1]),
                              set1(values[i * 3 + 2])};
            Vec cur = load(x);
            LNX_UNROLL
            for (int v = 0; v < kVectors; ++v) {
              const Vec next = load(x + (v + 1) * kLanes);
              m[v][i] = fma(w[2], next, fma(w[1], middle(cur, next), fma(w[0], cur, m[v][i])));
              cur = next;
            }
          }
        }
        LNX_UNROLL
        for (int v = 0; v < kVectors; ++v) {
          Vec evens = first_of_pair(m[v]), odds = second_of_pair(m[v]);
          if (t.last) {
            evens = inline_activation(a.activation, evens);
            odds = inline_activation(a.activation, odds);
          }
          store_part(out + 2 * v * step, zip_low(evens, odds), lanes);
          if (2 * v + 1 < rows) store_part(out + (2 * v + 1) * step, zip_high(evens, odds), lanes);
        }
        if (t.last && !is_inline(a.activation))
          for (int r = 0; r < 2 * kVectors && r < rows; ++r)
            activate(out + r * step, a.width, a.activation);
      });
}

static void conv_winograd_half3x3(const ConvArgs& a, int begin, int end) {
  static constexpr BlockFn table[] = {winograd_half_block<1>, winograd_half_block<2>,
                                      winograd_half_block<3>, winograd_half_block<4>};
  const int64_t vectors = (a.height + 1) / 2;
  const int64_t tiles = (vectors + a.tile - 1) / a.tile;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t from = split(vectors, tiles, i), to = split(vectors, tiles, i + 1);
    run_tile(a, table[to - from - 1], from * kLanes, 2 * from * a.row_stride, begin, end);
  }
}

// Images of at most 8 columns: a vector holds a row of each of two pairs, which are four rows of
// output apart by two. Lanes whose row is outside of the image are left out.
LNX_INLINE Part lanes_of_rows(Part lanes, int row, int height) {
  const Part low = row >= 0 && row < height ? 0xFF : 0;
  const Part high = row + 2 >= 0 && row + 2 < height ? 0xFF00 : 0;
  return static_cast<Part>(lanes & (low | high));
}

static void winograd_pairs(const WinogradArgs& a, int begin, int end) {
  const Part lanes = twice(part(a.width));
  const int64_t rows = a.in_row_stride;
  for (int c = begin; c < end; ++c) {
    const float* in = a.in + c * a.in_stride;
    float* out = a.out + c * a.out_stride;
    for (int y = 0; y < a.height; y += 4, out += 4 * kLanes) {
      Vec r[4];
      LNX_UNROLL
      for (int i = 0; i < 4; ++i)
        r[i] =
            load_rows(in + (y + i - 1) * rows, 2 * rows, lanes_of_rows(lanes, y + i - 1, a.height));
      store_transformed(out, kLanes, r[0], r[1], r[2], r[3]);
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
        const int64_t start = t.filter * a.out_stride + t.position;
        float* out = a.out + start;
        Vec m[kVectors][4];
        LNX_UNROLL
        for (int v = 0; v < kVectors; ++v) {
          const Part upper = lanes_of_rows(lanes, top + 4 * v, a.height);
          const Part lower = lanes_of_rows(lanes, top + 4 * v + 1, a.height);
          Vec y0 = t.first ? set1(a.bias[t.filter]) : zero(), y1 = y0;
          if (!t.first || a.residual) {
            const float* from = t.first ? a.residual + start : out;
            y0 = add(y0, load_rows(from + 4 * v * step, 2 * step, upper));
            y1 = add(y1, load_rows(from + (4 * v + 1) * step, 2 * step, lower));
          }
          split_sums(y0, y1, m[v]);
        }
        for (uint32_t k = 0; k < n; ++k, values += kWinogradWeights) {
          const float* x = b.in + channel[k] * a.channel_stride;
          Vec w[kWinogradWeights];
          LNX_UNROLL
          for (int i = 0; i < kWinogradWeights; ++i) w[i] = set1(values[i]);
          LNX_UNROLL
          for (int r = 0; r < 4 * kVectors; ++r) {
            const Vec cur = load(x + r * kLanes);
            Vec& sum = m[r / 4][r % 4];
            sum = add_taps(w + r % 4 * 3, left_in_rows(cur), cur, right_in_rows(cur), sum);
          }
        }
        LNX_UNROLL
        for (int v = 0; v < kVectors; ++v) {
          Vec y0 = first_of_pair(m[v]), y1 = second_of_pair(m[v]);
          if (t.last) {
            y0 = inline_activation(a.activation, y0);
            y1 = inline_activation(a.activation, y1);
          }
          store_rows(out + 4 * v * step, 2 * step, y0, lanes_of_rows(lanes, top + 4 * v, a.height));
          store_rows(out + (4 * v + 1) * step, 2 * step, y1,
                     lanes_of_rows(lanes, top + 4 * v + 1, a.height));
        }
        if (t.last && !is_inline(a.activation))
          for (int r = 0; r < 4 * kVectors && top + r < a.height; ++r)
            activate(out + r * step, a.width, a.activation);
      });
}

static void conv_winograd_pairs3x3(const ConvArgs& a, int begin, int end) {
  static constexpr BlockFn table[] = {winograd_pairs_block<1>, winograd_pairs_block<2>,
                                      winograd_pairs_block<3>, winograd_pairs_block<4>};
  const int64_t vectors = (a.height + 3) / 4;
  const int64_t tiles = (vectors + kWinogradNarrowTile - 1) / kWinogradNarrowTile;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t from = split(vectors, tiles, i), to = split(vectors, tiles, i + 1);
    run_tile(a, table[to - from - 1], 4 * from * kLanes, 4 * from * a.row_stride, begin, end);
  }
}

#endif  // LNX_HAS_PAIRS

}  // namespace lnx::LNX_ISA
