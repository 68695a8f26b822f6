#include "lnx/filter_blocks.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace lnx {
namespace {

// A set of channels, a bit each.
using Bits = std::vector<uint64_t>;

int count(const Bits& bits) {
  int total = 0;
  for (const uint64_t word : bits) total += __builtin_popcountll(word);
  return total;
}

// How many channels of `more` are not in `bits`.
int added(const Bits& bits, const Bits& more) {
  int total = 0;
  for (size_t i = 0; i < bits.size(); ++i) total += __builtin_popcountll(more[i] & ~bits[i]);
  return total;
}

void check(const SliceShape& s, const PackedSlices& slices) {
  if (s.filters < 1 || s.groups < 1 || s.filters % s.groups || s.channels % s.groups)
    throw std::invalid_argument("groups must divide filters and channels");
  if (slices.filter_ptr.size() != static_cast<size_t>(s.filters) + 1 ||
      slices.filter_ptr.back() != slices.channel.size())
    throw std::invalid_argument(
        "filter_ptr must have the shape (filters + 1,) and end with slices");
  if (!std::is_sorted(slices.filter_ptr.begin(), slices.filter_ptr.end()))
    throw std::invalid_argument("filter_ptr must ascend");
  for (const uint32_t channel : slices.channel)
    if (channel >= s.channels) throw std::invalid_argument("a slice's channel is out of range");
}

// The channel after the last one that a slice of this filter may read.
int64_t group_end(const SliceShape& s, int64_t filter) {
  return (filter / (s.filters / s.groups) + 1) * (s.channels / s.groups);
}

std::vector<Bits> channel_sets(const SliceShape& s, const PackedSlices& slices) {
  std::vector<Bits> sets(s.filters, Bits((s.channels + 63) / 64));
  for (int64_t f = 0; f < s.filters; ++f) {
    const int64_t end = group_end(s, f);
    for (uint32_t k = slices.filter_ptr[f]; k < slices.filter_ptr[f + 1]; ++k) {
      const int64_t first = slices.channel[k];
      for (int64_t c = first; c < std::min(first + s.channels_per_slice, end); ++c)
        sets[f][c / 64] |= uint64_t{1} << c % 64;
    }
  }
  return sets;
}

// The filter of `left` that adds the fewest channels to `chosen`; the earliest of several.
size_t nearest(const std::vector<uint32_t>& left, const std::vector<Bits>& sets,
               const Bits& chosen) {
  size_t best = 0;
  int fewest = INT32_MAX;
  for (size_t i = 0; i < left.size() && fewest > 0; ++i) {
    const int more = added(chosen, sets[left[i]]);
    if (more < fewest) {
      fewest = more;
      best = i;
    }
  }
  return best;
}

}  // namespace

FilterBlocks make_filter_blocks(const SliceShape& shape, const PackedSlices& slices) {
  check(shape, slices);
  const std::vector<Bits> sets = channel_sets(shape, slices);
  std::vector<uint32_t> left(shape.filters);
  std::iota(left.begin(), left.end(), 0);
  std::stable_sort(left.begin(), left.end(),
                   [&](uint32_t a, uint32_t b) { return count(sets[a]) > count(sets[b]); });

  FilterBlocks out;
  out.position.resize(shape.filters);
  out.slot.resize(slices.channel.size());
  out.block_ptr.push_back(0);
  std::vector<uint32_t> where(shape.channels);
  while (!left.empty()) {
    const size_t first = out.order.size();
    Bits chosen((shape.channels + 63) / 64);
    for (int i = 0; i < FilterBlocks::kFilters; ++i) {
      if (left.empty()) {
        out.order.push_back(FilterBlocks::kNoFilter);
        continue;
      }
      const size_t next = i == 0 ? 0 : nearest(left, sets, chosen);
      const uint32_t filter = left[next];
      left.erase(left.begin() + next);
      out.position[filter] = static_cast<uint32_t>(out.order.size());
      out.order.push_back(filter);
      for (size_t w = 0; w < chosen.size(); ++w) chosen[w] |= sets[filter][w];
    }
    const size_t begin = out.channel.size();
    for (int64_t c = 0; c < shape.channels; ++c) {
      if (!(chosen[c / 64] >> c % 64 & 1)) continue;
      where[c] = static_cast<uint32_t>(out.channel.size() - begin);
      out.channel.push_back(static_cast<int32_t>(c));
    }
    while (out.channel.size() % FilterBlocks::kChannels)
      out.channel.push_back(FilterBlocks::kNoChannel);
    out.block_ptr.push_back(static_cast<uint32_t>(out.channel.size()));
    for (size_t i = first; i < out.order.size(); ++i) {
      const uint32_t f = out.order[i];
      if (f == FilterBlocks::kNoFilter) continue;
      for (uint32_t k = slices.filter_ptr[f]; k < slices.filter_ptr[f + 1]; ++k)
        out.slot[k] = where[slices.channel[k]];
    }
  }
  return out;
}

std::vector<uint32_t> longest_first(const PackedSlices& slices) {
  const auto& ptr = slices.filter_ptr;
  std::vector<uint32_t> order(ptr.size() - 1);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return ptr[a + 1] - ptr[a] > ptr[b + 1] - ptr[b];
  });
  return order;
}

}  // namespace lnx
