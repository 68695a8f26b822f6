// 3x3, stride 1, padding 1, by Winograd's F(4, 3) along the rows, which makes the shifts to the
// left and to the right vanish. Only for instruction sets with registers for the weights beside the
// sums.
//
// A vector holds the quads of one row of a wide image, or those of kParts rows of a narrow one
// (kParts = 2 up to 32 columns, 4 up to 16). These rows are a kParts-th of the height apart, so
// that the rows above and below them are whole vectors as well.
#pragma once

#include "cpu/kernels/conv3x3.h"
#include "cpu/kernels/winograd.h"

namespace lnx::LNX_ISA {

constexpr int kWinogradTile = 4;  // rows of vectors: six sums each

// Where vector j of the four that hold kLanes quads lies.
template <int kParts>
constexpr int part_of(int j) {
  return j * kParts / kOutputs;
}
template <int kParts>
constexpr int column_of(int j) {
  return j % (kOutputs / kParts) * kLanes;
}

LNX_INLINE int rows_apart(int height, int parts) { return (height + parts - 1) / parts; }

// The neighbours of quads in lanes; those of the vectors before and after where a row has several.
template <int kParts>
LNX_INLINE Vec quads_left([[maybe_unused]] Vec prev, Vec cur) {
#ifdef LNX_HAS_PAIRS
  if constexpr (kParts == 2) return left_in_rows(cur);
  if constexpr (kParts == 4) return left_in_quarters(cur);
#endif
  return left(prev, cur);
}
template <int kParts>
LNX_INLINE Vec quads_right(Vec cur, [[maybe_unused]] Vec next) {
#ifdef LNX_HAS_PAIRS
  if constexpr (kParts == 2) return right_in_rows(cur);
  if constexpr (kParts == 4) return right_in_quarters(cur);
#endif
  return right(cur, next);
}

// The transformed rows of each channel, six vectors for each kLanes quads of a row: those that the
// output's rows of vectors from `first` up to `last` read, from the one above to the one below.
template <int kParts>
static void transform_rows(const WinogradArgs& a, int begin, int end) {
  constexpr int kColumns = kOutputs / kParts * kLanes;
  const int apart = rows_apart(a.height, kParts);
  for (int c = begin; c < end; ++c)
    for (int y = a.first - 1; y <= a.last; ++y) {
      const float* in = a.in + c * a.in_stride;
      const auto phases = [&](int x, Vec* q) LNX_LAMBDA {
        Vec columns[kOutputs];
        LNX_UNROLL
        for (int j = 0; j < kOutputs; ++j) {
          const int row = y + part_of<kParts>(j) * apart, column = x + column_of<kParts>(j);
          columns[j] = zero();
          if (row >= 0 && row < a.height)
            columns[j] = load_part(in + static_cast<int64_t>(row) * a.in_row_stride + column,
                                   part(a.width - column));
        }
        part_by_four(columns, q);
      };
      float* out = a.out + c * a.out_stride + (y + 1 - a.first) * kPoints * kLanes;
      Vec before = zero(), q[kOutputs], next[kOutputs];
      phases(0, q);
      for (int x = 0; x < a.width; x += kColumns, out += a.plane_stride) {
        next[0] = zero();
        if (x + kColumns < a.width) phases(x + kColumns, next);
        const Vec d[kPoints] = {quads_left<kParts>(before, q[3]),  q[0], q[1], q[2], q[3],
                                quads_right<kParts>(q[0], next[0])};
        store_transformed(out, kLanes, d);
        before = q[3];
        LNX_UNROLL
        for (int j = 0; j < kOutputs; ++j) q[j] = next[j];
      }
    }
}

// Outputs of kLanes quads, whose first row is `top` and first column `left`.
template <int kParts>
LNX_INLINE void end_quads(const ConvArgs& a, const Tile& t, int top, int left,
                          const float (*sums)[kLanes]) {
  const int apart = rows_apart(a.height, kParts);
  Vec m[kPoints], y[kOutputs], columns[kOutputs];
  LNX_UNROLL
  for (int i = 0; i < kPoints; ++i) m[i] = load(sums[i]);
  outputs_of_sums(m, y);
  join_four(y, columns);
  const Vec bias = t.first ? set1(a.bias[t.filter]) : zero();
  const float* more = t.first ? a.residual : a.out;
  LNX_UNROLL
  for (int j = 0; j < kOutputs; ++j) {
    const int row = top + part_of<kParts>(j) * apart, column = left + column_of<kParts>(j);
    if (row >= a.height || column >= a.width) continue;
    const int64_t at = t.filter * a.out_stride + static_cast<int64_t>(row) * a.row_stride + column;
    const Part lanes = part(a.width - column);
    Vec v = add(columns[j], bias);
    if (more) v = add(v, load_part(more + at, lanes));
    if (t.last) v = inline_activation(a.activation, v);
    store_part(a.out + at, v, lanes);
    if (t.last && !is_inline(a.activation))
      activate(a.out + at, lanes_left(a.width - column), a.activation);
  }
}

template <int kRows, int kParts>
void winograd_block(const ConvArgs& args, const Block& b) {
  const ConvArgs a = args;
  const int top = static_cast<int>(b.position / a.row_stride);
  const int left = static_cast<int>(b.position % a.row_stride);
  for_each_unit<1>(a, b, kWinogradWeights,
                   [&](const Tile& t, const uint16_t* channel, const float* values, uint32_t n)
                       LNX_LAMBDA {
                         Vec m[kRows][kPoints];
                         LNX_UNROLL
                         for (int r = 0; r < kRows; ++r) {
                           LNX_UNROLL
                           for (int i = 0; i < kPoints; ++i) m[r][i] = zero();
                         }
                         for (uint32_t k = 0; k < n; ++k, values += kWinogradWeights) {
                           const float* x = b.in + channel[k] * a.channel_stride;
                           prefetch_slice(values);
                           LNX_UNROLL
                           for (int i = 0; i < kPoints; ++i, x += kLanes) {
                             const Vec w[3] = {set1(values[i * 3]), set1(values[i * 3 + 1]),
                                               set1(values[i * 3 + 2])};
                             LNX_UNROLL
                             for (int r = 0; r < kRows + 2; ++r) {
                               const Vec d = in_register(load(x + r * kPoints * kLanes));
                               LNX_UNROLL
                               for (int ky = 0; ky < 3; ++ky) {
                                 const int o = r - ky;
                                 if (o >= 0 && o < kRows) m[o][i] = fma(w[ky], d, m[o][i]);
                               }
                             }
                           }
                         }
                         // By way of memory: the end would take registers from the loop.
                         alignas(64) float sums[kRows][kPoints][kLanes];
                         LNX_UNROLL
                         for (int r = 0; r < kRows; ++r) {
                           LNX_UNROLL
                           for (int i = 0; i < kPoints; ++i) store(sums[r][i], m[r][i]);
                         }
                         for (int r = 0; r < kRows; ++r)
                           end_quads<kParts>(a, t, top + r, left, sums[r]);
                       });
}

template <int kParts>
static void for_each_winograd_tile(const ConvArgs& a, int begin, int end) {
  static constexpr BlockFn table[kWinogradTile] = {
      winograd_block<1, kParts>, winograd_block<2, kParts>, winograd_block<3, kParts>,
      winograd_block<4, kParts>};
  const int apart = rows_apart(a.height, kParts);
  const int64_t tiles = (apart + a.tile_rows - 1) / a.tile_rows;
  const int64_t last = split(tiles, a.parts, a.part + 1);
  for (int64_t i = split(tiles, a.parts, a.part); i < last; ++i) {
    const int64_t top = split(apart, tiles, i), rows = split(apart, tiles, i + 1) - top;
    int64_t planes = top * kPoints * kLanes;
    for (int x = 0; x < a.width; x += kOutputs / kParts * kLanes, planes += a.taps[1])
      run_tile(a, table[rows - 1], planes, top * a.row_stride + x, begin, end);
  }
}

static void winograd_rows(const WinogradArgs& a, int begin, int end) {
#ifdef LNX_HAS_PAIRS
  if (a.parts == 2) return transform_rows<2>(a, begin, end);
  if (a.parts == 4) return transform_rows<4>(a, begin, end);
#endif
  transform_rows<1>(a, begin, end);
}

static void conv_winograd3x3(const ConvArgs& a, int begin, int end) {
#ifdef LNX_HAS_PAIRS
  if (a.tile == 2) return for_each_winograd_tile<2>(a, begin, end);
  if (a.tile == 4) return for_each_winograd_tile<4>(a, begin, end);
#endif
  for_each_winograd_tile<1>(a, begin, end);
}

}  // namespace lnx::LNX_ISA
