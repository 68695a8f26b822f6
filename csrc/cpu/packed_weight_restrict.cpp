// Packed weights of a network from which filters and channels are removed.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "lnx/packed_weight.h"

namespace lnx {
namespace {

// Where each kept one is among the kept.
std::vector<int64_t> ranks(const uint8_t* kept, int64_t count) {
  std::vector<int64_t> rank(count);
  int64_t next = 0;
  for (int64_t i = 0; i < count; ++i) rank[i] = kept[i] ? next++ : -1;
  return rank;
}

int64_t count(const uint8_t* mask, int64_t size) {
  return std::count_if(mask, mask + size, [](uint8_t m) { return m != 0; });
}

}  // namespace

void PackedWeight::push_index(int64_t index) {
  if (shape_.slices <= kNearSlices) {
    near_.push_back(static_cast<uint16_t>(index));
  } else {
    far_.push_back(static_cast<uint32_t>(index));
  }
}

std::vector<uint8_t> PackedWeight::reads(const uint8_t* filters, const float* scale) const {
  std::vector<uint8_t> mask(shape_.channels, 0);
  const int64_t group_filters = shape_.filters / shape_.groups;
  const int64_t group_channels = shape_.channels / shape_.groups;
  std::vector<uint8_t> slices(shape_.slices, 0);
  for (int64_t group = 0; group < shape_.groups; ++group) {
    std::fill(slices.begin(), slices.end(), 0);
    int64_t found = 0;
    // As a rule a few filters read all there is.
    for (int64_t f = group * group_filters;
         f < (group + 1) * group_filters && found < shape_.slices; ++f) {
      if (!filters[f] || (scale && scale[f] == 0.0f)) continue;
      for (uint32_t k = filter_ptr_[f]; k < filter_ptr_[f + 1]; ++k) {
        uint8_t& seen = slices[slice_index(k)];
        found += !seen;
        seen = 1;
      }
    }
    for (int64_t c = 0; c < group_channels; ++c)
      mask[group * group_channels + c] = slices[c / shape_.channels_per_slice];
  }
  return mask;
}

void PackedWeight::fold(const double* constants, const float* scale, double* sums,
                        uint8_t* rest) const {
  const int64_t group_filters = shape_.filters / shape_.groups;
  const int64_t group_channels = shape_.channels / shape_.groups;
  PackedSlices row;
  for (int64_t f = 0; f < shape_.filters; ++f) {
    sums[f] = 0.0;
    rest[f] = 0;
    if (scale && scale[f] == 0.0f) continue;
    unpack(f, f + 1, scale, row);
    const int64_t end = (f / group_filters + 1) * group_channels;
    for (size_t k = 0; k < row.channel.size(); ++k)
      for (int i = 0; i < shape_.length; ++i) {
        const int64_t channel = row.channel[k] + (pointwise() ? i : 0);
        const double weight = row.values[k * shape_.length + i];
        if (channel >= end || weight == 0.0) continue;
        if (std::isnan(constants[channel])) {
          rest[f] = 1;
        } else {
          sums[f] += constants[channel] * weight;
        }
      }
  }
}

PackedWeight PackedWeight::restrict(const uint8_t* filters, const uint8_t* channels,
                                    const uint8_t* read) const {
  const bool split =
      shape_.channels_per_slice > 1 && (count(channels, shape_.channels) < shape_.channels ||
                                        count(read, shape_.channels) < shape_.channels);
  const int64_t group_filters = shape_.filters / shape_.groups;
  const int64_t group_channels = shape_.channels / shape_.groups;
  SliceShape shape = shape_;
  shape.filters = count(filters, shape_.filters);
  shape.channels = count(channels, shape_.channels);
  if (shape_.groups > 1 && shape.channels < shape_.channels) {
    if (group_filters != 1 || group_channels != 1 || shape.filters != shape.channels)
      throw std::invalid_argument("channels can be removed from one group or from depthwise only");
    shape.groups = shape.channels;
  }
  if (split) shape.length = 1;
  if (split) shape.channels_per_slice = 1;
  const int64_t group_size = shape.channels / std::max<int64_t>(1, shape.groups);
  shape.slices = (group_size + shape.channels_per_slice - 1) / shape.channels_per_slice;
  PackedWeight result(shape);
  if (!split) result.decoder_ = decoder_;
  result.filter_ptr_.push_back(0);
  // Kept channels keep their order, so that within a group places move by whole ranks.
  const std::vector<int64_t> rank = ranks(channels, shape_.channels);
  PackedSlices row;
  uint32_t found = 0;
  for (int64_t f = 0; f < shape_.filters; ++f) {
    if (!filters[f]) continue;
    const int64_t first = f / group_filters * group_channels;
    const int64_t base = shape_.groups > 1 ? rank[first] : 0;
    if (split) {
      unpack(f, f + 1, nullptr, row);
      for (size_t k = 0; k < row.channel.size(); ++k)
        for (int i = 0; i < shape_.length; ++i) {
          const int64_t c = row.channel[k] + i;
          const float value = row.values[k * shape_.length + i];
          if (c >= first + group_channels || value == 0.0f || !channels[c] || !read[c]) continue;
          result.push_index(rank[c] - base);
          result.values_.push_back(value);
          ++found;
        }
    } else {
      for (uint32_t k = filter_ptr_[f]; k < filter_ptr_[f + 1]; ++k) {
        const int64_t c = first + int64_t{slice_index(k)} * shape_.channels_per_slice;
        if (!channels[c] || !read[c]) continue;
        result.push_index((rank[c] - base) / shape_.channels_per_slice);
        const size_t at = size_t{k} * shape_.length;
        if (decoder_)
          result.latents_.insert(result.latents_.end(), latents_.begin() + at,
                                 latents_.begin() + at + shape_.length);
        else
          result.values_.insert(result.values_.end(), values_.begin() + at,
                                values_.begin() + at + shape_.length);
        ++found;
      }
    }
    result.filter_ptr_.push_back(found);
  }
  result.near_.shrink_to_fit();
  result.far_.shrink_to_fit();
  result.latents_.shrink_to_fit();
  result.values_.shrink_to_fit();
  return result;
}

}  // namespace lnx
