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
  std::vector<uint32_t> ptr;
  std::vector<uint16_t> channel;
  std::vector<float> values;

  // Slices of unit u, all blocks together.
  int64_t unit_slices(int u) const;
};

// Cuts channels into blocks of `block_channels` (at most 65536) and filters into units of
// `filter_block`. Pointwise slices (taps == 1, several channels) become single weights, without the
// zeros among them and without what pads the last slice of a filter.
TiledSlices tile_slices(const PackedSlices& packed, const SliceShape& shape, int block_channels,
                        int filter_block);

}  // namespace lnx
