#include "cpu/tiled_slices.h"

#include <algorithm>
#include <stdexcept>

namespace lnx {
namespace {

// One slice of a unit, with one channel.
struct Entry {
  uint32_t channel;
  int filter;  // within the unit
  const float* values;
};

class Tiler {
 public:
  Tiler(const PackedSlices& packed, const SliceShape& shape, int block_channels, int filter_block)
      : packed_(packed), shape_(shape), block_channels_(block_channels), width_(filter_block) {}

  TiledSlices run() {
    TiledSlices tiled;
    tiled.block_channels = block_channels_;
    tiled.blocks = static_cast<int>(
        std::max<int64_t>(1, (shape_.channels + block_channels_ - 1) / block_channels_));
    tiled.units = static_cast<int>((shape_.filters + width_ - 1) / width_);
    tiled.ptr.assign(static_cast<size_t>(tiled.blocks) * tiled.units + 1, 0);
    const size_t taps = pointwise() ? 1 : shape_.length;

    // First how many slices each (block, unit) has, then where they begin, then the slices.
    for (int u = 0; u < tiled.units; ++u) {
      collect(u);
      for_each_slice(
          [&](uint32_t channel, size_t, size_t) { ++tiled.ptr[cell(tiled, channel, u) + 1]; });
    }
    for (size_t i = 1; i < tiled.ptr.size(); ++i) tiled.ptr[i] += tiled.ptr[i - 1];
    const size_t slices = tiled.ptr.back();
    tiled.channel.resize(slices);
    tiled.values.assign(slices * taps * width_, 0.0f);
    std::vector<uint32_t> next(tiled.ptr.begin(), tiled.ptr.end() - 1);
    for (int u = 0; u < tiled.units; ++u) {
      collect(u);
      for_each_slice([&](uint32_t channel, size_t begin, size_t end) {
        const size_t k = next[cell(tiled, channel, u)]++;
        tiled.channel[k] = static_cast<uint16_t>(channel % block_channels_);
        float* out = &tiled.values[k * taps * width_];
        for (size_t e = begin; e < end; ++e)
          for (size_t t = 0; t < taps; ++t)
            out[t * width_ + entries_[e].filter] = entries_[e].values[t];
      });
    }
    return tiled;
  }

 private:
  bool pointwise() const { return shape_.channels_per_slice > 1 || shape_.length == 1; }

  size_t cell(const TiledSlices& tiled, uint32_t channel, int u) const {
    return static_cast<size_t>(channel / block_channels_) * tiled.units + u;
  }

  // Fills entries_ with the slices of unit u, sorted by channel.
  void collect(int u) {
    entries_.clear();
    const int64_t first = static_cast<int64_t>(u) * width_;
    const int64_t last = std::min(first + width_, shape_.filters);
    const int64_t group_channels = shape_.channels / shape_.groups;
    for (int64_t f = first; f < last; ++f) {
      const int64_t group_end = (f / (shape_.filters / shape_.groups) + 1) * group_channels;
      for (uint32_t k = packed_.filter_ptr[f]; k < packed_.filter_ptr[f + 1]; ++k) {
        const float* values = &packed_.values[static_cast<size_t>(k) * shape_.length];
        if (!pointwise()) {
          entries_.push_back({packed_.channel[k], static_cast<int>(f - first), values});
          continue;
        }
        for (int i = 0; i < shape_.length; ++i)
          if (packed_.channel[k] + i < group_end && values[i] != 0.0f)
            entries_.push_back({packed_.channel[k] + i, static_cast<int>(f - first), values + i});
      }
    }
    if (width_ > 1)
      std::stable_sort(entries_.begin(), entries_.end(),
                       [](const Entry& a, const Entry& b) { return a.channel < b.channel; });
  }

  // Calls fn(channel, begin, end) for each run of entries with one channel.
  template <typename Fn>
  void for_each_slice(Fn fn) const {
    for (size_t begin = 0, end; begin < entries_.size(); begin = end) {
      end = begin + 1;
      while (end < entries_.size() && entries_[end].channel == entries_[begin].channel) ++end;
      fn(entries_[begin].channel, begin, end);
    }
  }

  const PackedSlices& packed_;
  const SliceShape& shape_;
  const int block_channels_;
  const int width_;
  std::vector<Entry> entries_;
};

}  // namespace

int64_t TiledSlices::unit_slices(int u) const {
  int64_t n = 0;
  for (int b = 0; b < blocks; ++b) {
    const size_t i = static_cast<size_t>(b) * units + u;
    n += ptr[i + 1] - ptr[i];
  }
  return n;
}

TiledSlices tile_slices(const PackedSlices& packed, const SliceShape& shape, int block_channels,
                        int filter_block) {
  if (block_channels < 1 || block_channels > 65536 || filter_block < 1)
    throw std::invalid_argument("channel blocks hold 1 to 65536 channels");
  return Tiler(packed, shape, block_channels, filter_block).run();
}

}  // namespace lnx
