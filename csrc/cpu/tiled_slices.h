// Packed slices in the order in which the CPU kernels read them (see ConvArgs).
#pragma once

#include <cstdint>
#include <vector>

#include "lnx/packed_slices.h"

namespace lnx {

struct TiledSlices {
  int blocks = 0;
  int block_channels = 0;
  int units = 0;
  std::vector<uint32_t> unit, ptr;
  std::vector<uint16_t> channel;
  std::vector<float> values;
  std::vector<int8_t> codes;  // in place of values, where PackedSlices has them
};

// How many slices each unit of `filter_block` filters has, one with all zeros counting none.
std::vector<int64_t> count_unit_slices(const PackedSlices& packed, const SliceShape& shape,
                                       int filter_block);

// Cuts channels into blocks of `block_channels` (at most 65536) and filters into units of
// `filter_block`. Pointwise slices (taps == 1, several channels) become single weights, without the
// zeros among them and without what pads the last slice of a filter.
//
// Part i of the work is places parts[i] up to parts[i + 1] of every block, and holds the units of
// these numbers. With `by_count`, each part of a block has those with few slices first: the loop
// over slices then ends where the branch predictor expects it, which matters unless so many tiles
// pass over a block that the predictor learns its counts by heart.
TiledSlices tile_slices(const PackedSlices& packed, const SliceShape& shape, int block_channels,
                        int filter_block, const std::vector<int>& parts, bool by_count);

}  // namespace lnx
