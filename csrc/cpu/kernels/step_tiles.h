// Tiles of 1, 2, 4, 7 or 14 rows of 1 or 2 vectors, for kernels that are too large to be compiled
// for every number of rows.
#pragma once

#include "cpu/kernels/tile.h"

namespace lnx::LNX_ISA {

// kRows x kCols, if that many vectors are held at once; else null, and never asked for.
template <template <int, int> class Kernel, int kRows>
static BlockFn pick_step_cols(int cols) {
  if constexpr (kRows <= kRowsTile) {
    if (cols == 1) return Kernel<kRows, 1>::fn;
  }
  if constexpr (2 * kRows <= kRowsTile) {
    if (cols == 2) return Kernel<kRows, 2>::fn;
  }
  return nullptr;
}

template <template <int, int> class Kernel>
static BlockFn pick_step_tile(int rows, int cols) {
  switch (rows) {
    case 14:
      return pick_step_cols<Kernel, 14>(cols);
    case 7:
      return pick_step_cols<Kernel, 7>(cols);
    case 4:
      return pick_step_cols<Kernel, 4>(cols);
    case 2:
      return pick_step_cols<Kernel, 2>(cols);
    default:
      return pick_step_cols<Kernel, 1>(cols);
  }
}

// The most of these rows that are at most `rows`.
LNX_INLINE int step_rows(int rows) {
  return rows >= 14 ? 14 : rows >= 7 ? 7 : rows >= 4 ? 4 : rows >= 2 ? 2 : 1;
}

// As many tiles of a.tile_rows rows as there are, and what is left in smaller ones.
template <template <int, int> class Kernel>
static void for_each_step_tile(const ConvArgs& a, int stride, int begin, int end) {
  const int vectors = (a.width + kLanes - 1) / kLanes;
  const int64_t col_tiles = (vectors + a.tile - 1) / a.tile;
  for (int top = 0, rows; top < a.height; top += rows) {
    rows = step_rows(a.tile_rows < a.height - top ? a.tile_rows : a.height - top);
    for (int64_t j = 0; j < col_tiles; ++j) {
      const int64_t from = split(vectors, col_tiles, j);
      const int cols = static_cast<int>(split(vectors, col_tiles, j + 1) - from);
      const int first = static_cast<int>(from * kLanes);
      run_tile(a, pick_step_tile<Kernel>(rows, cols),
               stride * (static_cast<int64_t>(top) * a.in_row_stride + first),
               static_cast<int64_t>(top) * a.row_stride + first, begin, end, false, j == 0,
               j == col_tiles - 1, Columns{a.in_width - stride * first, a.width - first});
    }
  }
}

}  // namespace lnx::LNX_ISA
