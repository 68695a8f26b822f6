// The nonzero slices of a weight tensor: what every backend starts from.
#pragma once

#include <cstdint>
#include <vector>

namespace lnx {

// How a weight tensor of F filters is cut into slices.
struct SliceShape {
  int64_t filters;
  int64_t slices;              // of each filter
  int length;                  // weights in a slice
  int64_t channels_per_slice;  // 1 for KxK kernels, the slice length for pointwise ones
  int64_t groups;              // of the convolution; divides filters
  int64_t channels;            // input channels, all groups together
};

// Slices that are zero are left out; the others are in filter order, by channel within a filter.
// Slices of filter f are filter_ptr[f] up to filter_ptr[f + 1].
struct PackedSlices {
  std::vector<uint32_t> filter_ptr;  // filters + 1
  std::vector<uint32_t> channel;     // of the slice's first weight, counted over all groups
  std::vector<float> values;         // length weights each, scaled by the filter's scale
  // Of single weights also, where they are small enough: integers that give the values times
  // unit[filter], but for its rounding. Else empty.
  std::vector<int8_t> codes;
  std::vector<float> unit;  // filters
};

}  // namespace lnx
