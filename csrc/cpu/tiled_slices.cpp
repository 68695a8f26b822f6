#include "cpu/tiled_slices.h"

#include <algorithm>
#include <numeric>
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
  Tiler(const PackedSlices& packed, const SliceShape& shape, int filter_block)
      : packed_(packed), shape_(shape), width_(filter_block) {}

  int units() const { return static_cast<int>((shape_.filters + width_ - 1) / width_); }

  std::vector<int64_t> count() {
    std::vector<int64_t> slices(units(), 0);
    for (int u = 0; u < units(); ++u) {
      for_each_slice(u, [&](uint32_t, const Entry*, const Entry*) { ++slices[u]; });
    }
    return slices;
  }

  TiledSlices run(int block_channels, const std::vector<int>& parts, bool by_count) {
    TiledSlices tiled;
    tiled.block_channels = block_channels;
    tiled.blocks = static_cast<int>(
        std::max<int64_t>(1, (shape_.channels + block_channels - 1) / block_channels));
    tiled.units = units();
    const size_t cells = static_cast<size_t>(tiled.blocks) * tiled.units;
    const size_t taps = pointwise() ? 1 : shape_.length;

    // First how many slices each (block, unit) has, then the order, then where they begin, then the
    // slices.
    std::vector<uint32_t> count(cells, 0);
    const auto cell = [&](uint32_t channel, int u) {
      return static_cast<size_t>(channel / block_channels) * tiled.units + u;
    };
    for (int u = 0; u < tiled.units; ++u) {
      for_each_slice(
          u, [&](uint32_t channel, const Entry*, const Entry*) { ++count[cell(channel, u)]; });
    }
    tiled.unit.resize(cells);
    tiled.ptr.assign(cells + 1, 0);
    std::vector<uint32_t> next(cells);
    for (int b = 0; b < tiled.blocks; ++b) {
      const size_t first = static_cast<size_t>(b) * tiled.units;
      const auto begin = tiled.unit.begin() + first;
      std::iota(begin, begin + tiled.units, 0u);
      for (size_t p = 1; by_count && p < parts.size(); ++p)
        std::stable_sort(begin + parts[p - 1], begin + parts[p], [&](uint32_t u, uint32_t v) {
          return count[first + u] < count[first + v];
        });
      for (int i = 0; i < tiled.units; ++i) {
        const size_t u = first + begin[i];
        next[u] = tiled.ptr[first + i];
        tiled.ptr[first + i + 1] = next[u] + count[u];
      }
    }
    const size_t slices = tiled.ptr.back();
    tiled.channel.resize(slices);
    // Units of several filters have zeros among their weights.
    const bool coded = !packed_.codes.empty() && width_ == 1;
    tiled.codes.resize(coded ? slices : 0);
    tiled.values.assign(coded ? 0 : slices * taps * width_, 0.0f);
    for (int u = 0; u < tiled.units; ++u) {
      for_each_slice(u, [&](uint32_t channel, const Entry* begin, const Entry* end) {
        const size_t k = next[cell(channel, u)]++;
        tiled.channel[k] = static_cast<uint16_t>(channel % block_channels);
        if (coded) {
          tiled.codes[k] = packed_.codes[begin->values - packed_.values.data()];
          return;
        }
        float* out = &tiled.values[k * taps * width_];
        for (const Entry* e = begin; e < end; ++e)
          for (size_t t = 0; t < taps; ++t) out[t * width_ + e->filter] = e->values[t];
      });
    }
    return tiled;
  }

 private:
  bool pointwise() const { return shape_.channels_per_slice > 1 || shape_.length == 1; }

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

  // Calls fn(channel, begin, end) for the entries of unit u, by channel.
  template <typename Fn>
  void for_each_slice(int u, Fn fn) {
    if (width_ == 1 && (!pointwise() || shape_.length == 1)) {
      for (uint32_t k = packed_.filter_ptr[u]; k < packed_.filter_ptr[u + 1]; ++k) {
        const Entry entry{packed_.channel[k], 0,
                          &packed_.values[static_cast<size_t>(k) * shape_.length]};
        if (!pointwise() || entry.values[0] != 0.0f) fn(entry.channel, &entry, &entry + 1);
      }
      return;
    }
    collect(u);
    const Entry* const last = entries_.data() + entries_.size();
    for (const Entry *begin = entries_.data(), *end; begin < last; begin = end) {
      for (end = begin + 1; end < last && end->channel == begin->channel;) ++end;
      fn(begin->channel, begin, end);
    }
  }

  const PackedSlices& packed_;
  const SliceShape& shape_;
  const int width_;
  std::vector<Entry> entries_;
};

}  // namespace

std::vector<int64_t> count_unit_slices(const PackedSlices& packed, const SliceShape& shape,
                                       int filter_block) {
  return Tiler(packed, shape, filter_block).count();
}

TiledSlices tile_slices(const PackedSlices& packed, const SliceShape& shape, int block_channels,
                        int filter_block, const std::vector<int>& parts, bool by_count) {
  if (block_channels < 1 || block_channels > 65536 || filter_block < 1)
    throw std::invalid_argument("channel blocks hold 1 to 65536 channels");
  return Tiler(packed, shape, filter_block).run(block_channels, parts, by_count);
}

}  // namespace lnx
