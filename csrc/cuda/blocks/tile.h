// Which tile form (b) takes, and how much shared memory it needs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "cuda/params.h"

namespace lnx {

struct TileChoice {
  int runs;  // of 8 pixels, all warps together: 8 or 16
  int tile_rows, tile_runs;
  int tiles_x, tiles_y;
  int in_rows, copies_per_row, row_pitch, channel_pitch, shift, taps_per_step;
  int64_t shared_bytes;

  int64_t tiles() const { return int64_t{tiles_x} * tiles_y; }
  int64_t pixels() const { return tiles() * runs * 8; }
  int64_t copied() const { return tiles() * in_rows * row_pitch; }
};

// What the kernel is compiled for.
struct TileLimits {
  int element;   // bytes
  int channels;  // of a stage
  int stages;
  int tap_bytes;    // of a tap's weights in a stage
  int stage_bytes;  // of weights in a stage, where a tap is not more
};

inline TileChoice lay_out(const Geometry& g, const TileLimits& limits, int copy_bytes, int runs,
                          int tile_runs) {
  TileChoice t{};
  t.runs = runs;
  t.tile_runs = tile_runs;
  t.tile_rows = runs / tile_runs;
  t.tiles_x = (g.out_width + tile_runs * 8 - 1) / (tile_runs * 8);
  t.tiles_y = (g.out_height + t.tile_rows - 1) / t.tile_rows;
  t.in_rows = (t.tile_rows - 1) * g.stride_h + (g.kernel_h - 1) * g.dilation_h + 1;
  // A tile begins at a multiple of 8 columns, so that the distance from the last copy's begin to
  // its first column is the same for all.
  const int per_copy = copy_bytes / limits.element, per_16 = 16 / limits.element;
  t.shift = (per_copy - g.pad_w % per_copy) % per_copy;
  const int columns =
      t.shift + (tile_runs * 8 - 1) * g.stride_w + (g.kernel_w - 1) * g.dilation_w + 1;
  t.copies_per_row = (columns + per_copy - 1) / per_copy;
  t.row_pitch = (t.copies_per_row * per_copy + per_16 - 1) / per_16 * per_16;
  // The four channels whose pixels a warp reads at once begin 8 banks apart.
  const int bank_bytes = limits.element == 4 ? 128 : 64;
  int64_t pitch_bytes = int64_t{t.in_rows} * t.row_pitch * limits.element;
  pitch_bytes +=
      ((limits.element == 4 ? 32 : 16) - pitch_bytes % bank_bytes + bank_bytes) % bank_bytes;
  t.channel_pitch = static_cast<int>(std::min<int64_t>(pitch_bytes / limits.element, 1 << 20));
  const int taps = g.kernel_h * g.kernel_w;
  const int at_once = std::max(1, limits.stage_bytes / limits.tap_bytes);
  const int steps = (taps + at_once - 1) / at_once;
  t.taps_per_step = (taps + steps - 1) / steps;
  t.shared_bytes =
      limits.stages * (pitch_bytes * limits.channels + int64_t{t.taps_per_step} * limits.tap_bytes);
  return t;
}

// The tile of so many runs that covers the output with the fewest pixels, then with the fewest
// copies. None where shared memory holds none.
inline std::optional<TileChoice> best_tile(const Geometry& g, const TileLimits& limits,
                                           int copy_bytes, int runs, int64_t shared_limit) {
  std::optional<TileChoice> best;
  for (int tile_runs = 1; tile_runs <= runs; tile_runs *= 2) {
    const TileChoice t = lay_out(g, limits, copy_bytes, runs, tile_runs);
    if (t.shared_bytes > shared_limit) continue;
    if (!best || t.pixels() < best->pixels() ||
        (t.pixels() == best->pixels() && t.copied() < best->copied()))
      best = t;
  }
  return best;
}

// 16 runs where that wastes at most a tenth more pixels than 8 and leaves `enough` blocks; 8
// otherwise. `forced` is 8 or 16 to have that, or 0.
inline std::optional<TileChoice> choose_tile(const Geometry& g, const TileLimits& limits,
                                             int copy_bytes, int64_t shared_limit,
                                             int64_t filter_blocks, int forced) {
  constexpr int64_t kEnough = 216;  // two for each multiprocessor of an A100
  const auto small = best_tile(g, limits, copy_bytes, 8, shared_limit);
  const auto large = best_tile(g, limits, copy_bytes, 16, shared_limit);
  if (forced == 8 || !large) return small;
  if (forced == 16 || !small) return large;
  const bool fills = large->tiles() * g.images * filter_blocks >= kEnough;
  return fills && large->pixels() * 10 <= small->pixels() * 11 ? large : small;
}

}  // namespace lnx
