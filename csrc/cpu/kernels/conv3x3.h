// 3x3 kernels whose tiles span several image rows, so that each loaded vector serves several taps.
#pragma once

#include "cpu/kernels/tile.h"

namespace lnx::LNX_ISA {

constexpr int kRowVectorsMax = 4;

// How many lanes of a vector are pixels, where that many columns are left.
LNX_INLINE int lanes_left(int columns) { return columns < kLanes ? columns : kLanes; }

// Rows that a tile of `cols` vectors a row may have.
constexpr int rows_for(int cols) {
  return kRowsTile / cols < kRowsMax ? kRowsTile / cols : kRowsMax;
}

// Stride 1. All nine weights stay in registers; each row is loaded once, shifted by a lane to both
// sides, and used for up to three output rows. Columns beside the image are taken as zero, so rows
// need no gaps between them: where a tile spans whole rows (kFull) nothing beside it is loaded.
template <int kRows, int kCols, bool kFull>
void rows3x3_block(const ConvArgs& args, const Block& b) {
  const ConvArgs a = args;
  const int64_t step = a.in_row_stride;
  const float* in = b.in + a.taps[1];  // the centre column of the uppermost row of taps
  const Vec left_edge = all_bits(!b.leftmost), right_edge = all_bits(!b.rightmost);
  // At the sides of the image there may be another value's memory: not read, though it would not
  // count.
  const int64_t before = b.leftmost ? 0 : -kLanes, after = b.rightmost ? 0 : kCols * kLanes;
  const Part last = part(b.columns.in - (kCols - 1) * kLanes);
  const int tail = lanes_left(b.columns.out - (kCols - 1) * kLanes);
  const auto load_column = [&](const float* row, int v) LNX_LAMBDA {
    return v == kCols - 1 ? load_part(row + v * kLanes, last) : load(row + v * kLanes);
  };
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
          for (int r = 0; r < kRows + 2; ++r) {
            const float* row = x + r * step;
            Vec prev = kFull ? zero() : both(load(row + before), left_edge);
            Vec cur = load_column(row, 0);
            LNX_UNROLL
            for (int v = 0; v < kCols; ++v) {
              Vec next = zero();
              if (v + 1 < kCols) {
                next = load_column(row, v + 1);
              } else if (!kFull) {
                next = both(load(row + after), right_edge);
              }
              const Vec shifted[3] = {left(prev, cur), cur, right(cur, next)};
              LNX_UNROLL
              for (int kx = 0; kx < 3; ++kx) {
                LNX_UNROLL
                for (int ky = 0; ky < 3; ++ky) {
                  const int o = r - ky;
                  if (o >= 0 && o < kRows)
                    acc[o * kCols + v] = fma(w[ky * 3 + kx], shifted[kx], acc[o * kCols + v]);
                }
              }
              prev = cur;
              cur = next;
            }
          }
        }
        end_rows<kRows, kCols>(a, t, a.row_stride, tail, acc);
      });
}

// Stride 2, padding 1, over rows that `stage` split into even columns and, taps[1] floats after
// them, odd ones. Those are under the right taps, and shifted by a lane under the left ones. The
// addresses are kept as plain as this so that the compiler keeps all else in registers.
template <int kRows, int kCols, bool kFull>
void rows3x3s2_block(const ConvArgs& args, const Block& b) {
  const ConvArgs a = args;
  const int64_t odd_columns = kFull ? kCols * kLanes : a.taps[1];
  const int64_t step = kFull ? 2 * kCols * kLanes : a.in_row_stride;
  const int tail = lanes_left(b.columns.out - (kCols - 1) * kLanes);
  const Vec left_edge = all_bits(!b.leftmost);
  const int64_t before = b.leftmost ? 0 : -kLanes;
  for_each_unit<1>(
      a, b, 9,
      [&](const Tile& t, const uint16_t* channel, const float* values, uint32_t n) LNX_LAMBDA {
        Vec acc[kRows * kCols];
        begin_tile<kRows, kCols>(a, t, a.row_stride, acc);
        for (uint32_t k = 0; k < n; ++k, values += 9) {
          const float* x = b.in + channel[k] * a.channel_stride;
          Vec w[9];
          LNX_UNROLL
          for (int i = 0; i < 9; ++i) w[i] = set1(values[i]);
          LNX_UNROLL
          for (int r = 0; r < 2 * kRows + 1; ++r) {
            const float* row = x + r * step;
            Vec prev = kFull ? zero() : both(load(row + odd_columns + before), left_edge);
            LNX_UNROLL
            for (int v = 0; v < kCols; ++v) {
              const Vec right_taps = load(row + odd_columns + v * kLanes);
              const Vec under[3] = {left(prev, right_taps), load(row + v * kLanes), right_taps};
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

template <template <int, int, bool> class Kernel, int kCols, bool kFull, int... kIndex>
static BlockFn pick_rows(int rows, std::integer_sequence<int, kIndex...>) {
  static constexpr BlockFn table[] = {Kernel<kIndex + 1, kCols, kFull>::fn...};
  return table[rows - 1];
}

template <int kRows, int kCols, bool kFull>
struct Rows3x3 {
  static constexpr BlockFn fn = rows3x3_block<kRows, kCols, kFull>;
};

template <int kRows, int kCols, bool kFull>
struct Rows3x3s2 {
  static constexpr BlockFn fn = rows3x3s2_block<kRows, kCols, kFull>;
};

template <template <int, int, bool> class Kernel, bool kFull>
static BlockFn pick_tile(int rows, int cols) {
  switch (cols) {
    case 1:
      return pick_rows<Kernel, 1, kFull>(rows, std::make_integer_sequence<int, rows_for(1)>());
    case 2:
      return pick_rows<Kernel, 2, kFull>(rows, std::make_integer_sequence<int, rows_for(2)>());
    case 3:
      return pick_rows<Kernel, 3, kFull>(rows, std::make_integer_sequence<int, rows_for(3)>());
    default:
      return pick_rows<Kernel, 4, kFull>(rows, std::make_integer_sequence<int, rows_for(4)>());
  }
}

template <template <int, int, bool> class Kernel, int kStride>
static void for_each_row_tile(const ConvArgs& a, int begin, int end) {
  const int vectors = (a.width + kLanes - 1) / kLanes;
  const int64_t col_tiles = (vectors + a.tile - 1) / a.tile;
  const int64_t row_tiles = (a.height + a.tile_rows - 1) / a.tile_rows;
  for (int64_t i = 0; i < row_tiles; ++i) {
    const int64_t top = split(a.height, row_tiles, i);
    const int rows = static_cast<int>(split(a.height, row_tiles, i + 1) - top);
    for (int64_t j = 0; j < col_tiles; ++j) {
      const int64_t from = split(vectors, col_tiles, j);
      const int cols = static_cast<int>(split(vectors, col_tiles, j + 1) - from);
      const BlockFn fn = a.zero_sides && col_tiles == 1 ? pick_tile<Kernel, true>(rows, cols)
                                                        : pick_tile<Kernel, false>(rows, cols);
      const int first = static_cast<int>(from * kLanes);
      // Without padding the columns that outputs need are all in the image.
      const int in_columns = (a.zero_sides ? a.in_width : a.in_row_stride) - first;
      run_tile(a, fn, kStride * top * a.in_row_stride + first, top * a.row_stride + first, begin,
               end, true, a.zero_sides && j == 0, a.zero_sides && j == col_tiles - 1,
               Columns{in_columns, a.width - first});
    }
  }
}

static void conv_rows3x3(const ConvArgs& a, int begin, int end) {
  for_each_row_tile<Rows3x3, 1>(a, begin, end);
}

static void conv_rows3x3s2(const ConvArgs& a, int begin, int end) {
  for_each_row_tile<Rows3x3s2, 2>(a, begin, end);
}

}  // namespace lnx::LNX_ISA
