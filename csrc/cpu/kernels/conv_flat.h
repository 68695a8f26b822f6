// The kernel that covers every convolution: any taps, flat over the plane.
#pragma once

#include <cstring>

#include "cpu/kernels/tile.h"

namespace lnx::LNX_ISA {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "indices are read four at a time");

template <int kVectors>
LNX_INLINE void add_scaled(Vec weight, const float* x, Vec* acc) {
  LNX_UNROLL
  for (int v = 0; v < kVectors; ++v) acc[v] = fma(weight, load(x + v * kLanes), acc[v]);
}

// One filter, kVectors vectors of pixels in registers. With few vectors two sets of accumulators
// take turns, because a chain of additions into one set would wait for its own latency.
enum class Weights { kTaps, kPointwise, kPointwiseCodes };

template <int kVectors, Weights kWeights>
void flat_block(const ConvArgs& args, const Block& b) {
  constexpr bool kTwoSets = 2 * kVectors < kFlatTile;
  const ConvArgs a = args;
  constexpr bool kPointwise = kWeights != Weights::kTaps;
  constexpr bool kCodes = kWeights == Weights::kPointwiseCodes;
  const float* in = b.in + (kPointwise ? a.taps[0] : 0);
  const int64_t slice_floats = kPointwise ? 1 : a.num_taps;
  for_each_unit<1, kPointwise ? kVectors : 0>(
      a, b, slice_floats,
      [&](const Tile& t, const uint16_t* channel, const float* values, uint32_t n) LNX_LAMBDA {
        Vec acc[kVectors], other[kVectors];
        begin_tile<1, kVectors>(a, t, 0, acc);
        if constexpr (kTwoSets) {
          LNX_UNROLL
          for (int v = 0; v < kVectors; ++v) other[v] = zero();
        }
        if constexpr (kPointwise) {
          // The loop is bound by loads, so indices and weights come four at a time.
          const int8_t* codes = kCodes ? a.codes + (channel - a.channel) : nullptr;
          const float unit = kCodes ? a.code_unit[t.filter] : 0.0f;
          uint32_t k = 0;
          for (; k + 4 <= n; k += 4) {
            uint64_t channels;
            std::memcpy(&channels, channel + k, sizeof channels);
            const Vec weights = kCodes ? load4(codes + k, unit) : load4(values + k);
            const float* x0 = in + (channels & 0xFFFF) * a.channel_stride;
            const float* x1 = in + (channels >> 16 & 0xFFFF) * a.channel_stride;
            const float* x2 = in + (channels >> 32 & 0xFFFF) * a.channel_stride;
            const float* x3 = in + (channels >> 48) * a.channel_stride;
            Vec* second = kTwoSets ? other : acc;
            add_scaled<kVectors>(splat<0>(weights), x0, acc);
            add_scaled<kVectors>(splat<1>(weights), x1, second);
            add_scaled<kVectors>(splat<2>(weights), x2, acc);
            add_scaled<kVectors>(splat<3>(weights), x3, second);
          }
          for (; k < n; ++k) {
            const float weight = kCodes ? static_cast<float>(codes[k]) * unit : values[k];
            add_scaled<kVectors>(set1(weight), in + channel[k] * a.channel_stride, acc);
          }
        } else {
          for (uint32_t k = 0; k < n; ++k) {
            const float* base = b.in + channel[k] * a.channel_stride;
            int i = 0;
            for (; kTwoSets && i + 2 <= a.num_taps; i += 2) {
              add_scaled<kVectors>(set1(values[i]), base + a.taps[i], acc);
              add_scaled<kVectors>(set1(values[i + 1]), base + a.taps[i + 1], other);
            }
            for (; i < a.num_taps; ++i)
              add_scaled<kVectors>(set1(values[i]), base + a.taps[i], acc);
            values += a.num_taps;
          }
        }
        if constexpr (kTwoSets) {
          LNX_UNROLL
          for (int v = 0; v < kVectors; ++v) acc[v] = add(acc[v], other[v]);
        }
        end_tile<1, kVectors>(a, t, 0, acc);
      });
}

// As many filters as share each loaded vector in flat_blocked_block.
constexpr int kFilterBlock = 4;

template <int kVectors>
void flat_blocked_block(const ConvArgs& args, const Block& b) {
  const ConvArgs a = args;
  const int64_t slice_floats = static_cast<int64_t>(a.num_taps) * kFilterBlock;
  for_each_unit<kFilterBlock>(
      a, b, slice_floats,
      [&](const Tile& t, const uint16_t* channel, const float* values, uint32_t n) LNX_LAMBDA {
        Vec acc[kFilterBlock][kVectors];
        LNX_UNROLL
        for (int f = 0; f < kFilterBlock; ++f) {
          // Filters past the last one have zero weights and are not stored.
          if (t.filter + f < a.filters) {
            begin_tile<1, kVectors>(a, Tile{t.filter + f, t.position, t.first, t.last, t.whole}, 0,
                                    acc[f]);
          } else {
            LNX_UNROLL
            for (int v = 0; v < kVectors; ++v) acc[f][v] = zero();
          }
        }
        for (uint32_t k = 0; k < n; ++k) {
          const float* base = b.in + channel[k] * a.channel_stride;
          for (int i = 0; i < a.num_taps; ++i) {
            const float* x = base + a.taps[i];
            Vec pixels[kVectors];
            LNX_UNROLL
            for (int v = 0; v < kVectors; ++v) pixels[v] = load(x + v * kLanes);
            LNX_UNROLL
            for (int f = 0; f < kFilterBlock; ++f) {
              const Vec w = set1(values[f]);
              LNX_UNROLL
              for (int v = 0; v < kVectors; ++v) acc[f][v] = fma(w, pixels[v], acc[f][v]);
            }
            values += kFilterBlock;
          }
        }
        LNX_UNROLL
        for (int f = 0; f < kFilterBlock; ++f)
          if (t.filter + f < a.filters)
            end_tile<1, kVectors>(a, Tile{t.filter + f, t.position, t.first, t.last, t.whole}, 0,
                                  acc[f]);
      });
}

template <Weights kWeights, int... kIndex>
static BlockFn pick_flat(int vectors, std::integer_sequence<int, kIndex...>) {
  static constexpr BlockFn table[] = {flat_block<kIndex + 1, kWeights>...};
  return table[vectors - 1];
}

template <int... kIndex>
static BlockFn pick_flat_blocked(int vectors, std::integer_sequence<int, kIndex...>) {
  static constexpr BlockFn table[] = {flat_blocked_block<kIndex + 1>...};
  return table[vectors - 1];
}

// Tiles of nearly equal size: a short last one would waste what its few accumulators cannot hide.
template <typename Pick>
LNX_INLINE void for_each_flat_tile(const ConvArgs& a, int begin, int end, Pick pick) {
  const int64_t vectors = (static_cast<int64_t>(a.height) * a.row_stride + kLanes - 1) / kLanes;
  const int64_t tiles = (vectors + a.tile - 1) / a.tile;
  const int64_t last = split(tiles, a.parts, a.part + 1);
  for (int64_t i = split(tiles, a.parts, a.part); i < last; ++i) {
    const int64_t from = split(vectors, tiles, i), to = split(vectors, tiles, i + 1);
    const bool whole =
        a.width == a.row_stride && to * kLanes <= static_cast<int64_t>(a.height) * a.row_stride;
    run_tile(a, pick(static_cast<int>(to - from)), from * kLanes, from * kLanes, begin, end, whole);
  }
}

static void conv_flat(const ConvArgs& a, int begin, int end) {
  const std::make_integer_sequence<int, kFlatTile> sizes;
  if (a.num_taps != 1) {
    for_each_flat_tile(a, begin, end, [=](int n) { return pick_flat<Weights::kTaps>(n, sizes); });
  } else if (a.codes) {
    for_each_flat_tile(a, begin, end,
                       [=](int n) { return pick_flat<Weights::kPointwiseCodes>(n, sizes); });
  } else {
    for_each_flat_tile(a, begin, end,
                       [=](int n) { return pick_flat<Weights::kPointwise>(n, sizes); });
  }
}

static void conv_flat_blocked(const ConvArgs& a, int begin, int end) {
  const std::make_integer_sequence<int, kFlatTileBlocked> sizes;
  for_each_flat_tile(a, begin, end, [=](int n) { return pick_flat_blocked(n, sizes); });
}

}  // namespace lnx::LNX_ISA
