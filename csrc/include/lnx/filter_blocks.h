// Filters in blocks that share one list of channels: the form in which matrix instructions take a
// sparse layer. Planned on the host, for any device.
#pragma once

#include <cstdint>
#include <vector>

#include "lnx/packed_slices.h"

namespace lnx {

// A block multiplies the weights of its filters, kFilters of them, by the union of their channels;
// where a filter lacks a channel of the union, its weights are zeros. Filters are ordered so that
// unions are small. Blocks know no groups: channels count over all of them.
struct FilterBlocks {
  static constexpr int kFilters = 32;
  // Unions are filled up to a multiple of this many channels.
  static constexpr int kChannels = 16;
  static constexpr uint32_t kNoFilter = UINT32_MAX;
  static constexpr int32_t kNoChannel = -1;

  int64_t blocks() const { return static_cast<int64_t>(block_ptr.size()) - 1; }

  std::vector<uint32_t> order;      // blocks * kFilters: a filter, or kNoFilter
  std::vector<uint32_t> position;   // filters: where in `order` each one is
  std::vector<uint32_t> block_ptr;  // blocks + 1: the union of block b is channel[block_ptr[b]] up
                                    // to channel[block_ptr[b + 1]], multiples of kChannels
  std::vector<int32_t> channel;     // ascending within a union, then kNoChannel
  std::vector<uint32_t> slot;  // slices: where in its block's union the slice's first channel is
};

// Orders filters greedily: a block starts with the filter of most channels among those left, and
// takes the one that adds the fewest channels to the union until it is full. `slices` needs no
// values. O(filters^2 * channels / 64) operations. std::invalid_argument: groups do not divide
// filters and channels, or a channel is out of range.
FilterBlocks make_filter_blocks(const SliceShape& shape, const PackedSlices& slices);

// Filters by falling number of slices, ties by index: work starts with the longest. [filters]
std::vector<uint32_t> longest_first(const PackedSlices& slices);

}  // namespace lnx
