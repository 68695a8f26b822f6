// 3x3 kernels whose tiles span several image rows, so that each loaded vector serves several taps.
#pragma once

#include "cpu/kernels/tile.h"

namespace lnx::LNX_ISA {

constexpr int kRowVectorsMax = 4;

// Rows that a tile of `cols` vectors a row may have.
constexpr int rows_for(int cols) {
  return kRowsTile / cols < kRowsMax ? kRowsTile / cols : kRowsMax;
}

// Stride 1. All nine weights stay in registers; each row is loaded once, shifted by a lane to both
// sides, and used for up to three output rows. Where a tile spans whole rows (kFull), the lanes
// beside it are gaps: zero, and not loaded.
template <int kRows, int kCols, bool kFull>
void rows3x3_tile(const ConvArgs& a, const Tile& t, const float* in, const uint16_t* channel,
                  const float* values, uint32_t n) {
  const int64_t step = a.row_stride;
  Vec acc[kRows * kCols];
  begin_tile<kRows, kCols>(a, t, step, acc);
  in += a.taps[1];  // the centre column of the uppermost row of taps
  for (uint32_t k = 0; k < n; ++k, values += 9) {
    const float* x = in + channel[k] * a.channel_stride;
    Vec w[9];
    LNX_UNROLL for (int i = 0; i < 9; ++i) w[i] = set1(values[i]);
    LNX_UNROLL for (int r = 0; r < kRows + 2; ++r) {
      const float* row = x + r * step;
      Vec prev = kFull ? zero() : load(row - kLanes);
      Vec cur = load(row);
      LNX_UNROLL for (int v = 0; v < kCols; ++v) {
        const Vec next = kFull && v + 1 == kCols ? cur : load(row + (v + 1) * kLanes);
        const Vec shifted[3] = {left(prev, cur), cur, right(cur, next)};
        LNX_UNROLL for (int kx = 0; kx < 3; ++kx) LNX_UNROLL for (int ky = 0; ky < 3; ++ky) {
          const int o = r - ky;
          if (o >= 0 && o < kRows)
            acc[o * kCols + v] = fma(w[ky * 3 + kx], shifted[kx], acc[o * kCols + v]);
        }
        prev = cur;
        cur = next;
      }
    }
  }
  end_tile<kRows, kCols>(a, t, step, acc);
}

// Vertical stride 2 over staged planes, one for each column of taps, so that no shift is left. The
// first and third row of taps read one plane, a row apart; the second reads the other phase.
template <int kRows, int kCols, bool kUnused>
void rows3x3s2_tile(const ConvArgs& a, const Tile& t, const float* in, const uint16_t* channel,
                    const float* values, uint32_t n) {
  const int64_t step = a.row_stride;
  Vec acc[kRows * kCols];
  begin_tile<kRows, kCols>(a, t, step, acc);
  for (uint32_t k = 0; k < n; ++k, values += 9) {
    const float* x = in + channel[k] * a.channel_stride;
    LNX_UNROLL for (int kx = 0; kx < 3; ++kx) {
      const float* outer = x + a.taps[kx];
      const float* inner = x + a.taps[3 + kx];
      const Vec w0 = set1(values[kx]), w1 = set1(values[3 + kx]), w2 = set1(values[6 + kx]);
      LNX_UNROLL for (int r = 0; r < kRows + 1; ++r) LNX_UNROLL for (int v = 0; v < kCols; ++v) {
        const Vec pixels = load(outer + r * step + v * kLanes);
        if (r < kRows) acc[r * kCols + v] = fma(w0, pixels, acc[r * kCols + v]);
        if (r > 0) acc[(r - 1) * kCols + v] = fma(w2, pixels, acc[(r - 1) * kCols + v]);
      }
      LNX_UNROLL for (int i = 0; i < kRows * kCols; ++i) acc[i] =
          fma(w1, load(inner + i / kCols * step + i % kCols * kLanes), acc[i]);
    }
  }
  end_tile<kRows, kCols>(a, t, step, acc);
}

template <template <int, int, bool> class Kernel, int kCols, bool kFull, int... kIndex>
static TileFn pick_rows(int rows, std::integer_sequence<int, kIndex...>) {
  static constexpr TileFn table[] = {Kernel<kIndex + 1, kCols, kFull>::fn...};
  return table[rows - 1];
}

template <int kRows, int kCols, bool kFull>
struct Rows3x3 {
  static constexpr TileFn fn = rows3x3_tile<kRows, kCols, kFull>;
};

template <int kRows, int kCols, bool kFull>
struct Rows3x3s2 {
  static constexpr TileFn fn = rows3x3s2_tile<kRows, kCols, false>;
};

template <template <int, int, bool> class Kernel, bool kFull>
static TileFn pick_tile(int rows, int cols) {
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

template <template <int, int, bool> class Kernel>
static void for_each_row_tile(const ConvArgs& a, int begin, int end) {
  const int vectors = a.row_stride / kLanes;
  const int64_t col_tiles = (vectors + a.tile - 1) / a.tile;
  const int64_t row_tiles = (a.height + a.tile_rows - 1) / a.tile_rows;
  for (int64_t i = 0; i < row_tiles; ++i) {
    const int64_t top = split(a.height, row_tiles, i);
    const int rows = static_cast<int>(split(a.height, row_tiles, i + 1) - top);
    for (int64_t j = 0; j < col_tiles; ++j) {
      const int64_t from = split(vectors, col_tiles, j);
      const int cols = static_cast<int>(split(vectors, col_tiles, j + 1) - from);
      const TileFn fn = a.full_rows && col_tiles == 1 ? pick_tile<Kernel, true>(rows, cols)
                                                      : pick_tile<Kernel, false>(rows, cols);
      for_each_block(a, fn, top * a.row_stride + from * kLanes, 1, begin, end);
    }
  }
}

static void conv_rows3x3(const ConvArgs& a, int begin, int end) {
  for_each_row_tile<Rows3x3>(a, begin, end);
}

static void conv_rows3x3s2(const ConvArgs& a, int begin, int end) {
  for_each_row_tile<Rows3x3s2>(a, begin, end);
}

}  // namespace lnx::LNX_ISA
