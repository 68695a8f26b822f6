// The contexts in which the integers of weights are coded.
//
// Zeros gather in dead filters and channels, so a slice-zero flag is coded in the context of an
// estimate that combines the filter's (row's) and the channel's (column's) own frequencies by their
// log-odds. What is left to learn is only how far to trust the estimate, which even a tiny
// network's flags are enough for. Integers of nonzero slices are coded in contexts of their place,
// of what was coded before in the slice and of the mean magnitude in the row and column. A fine
// context starts from what a coarse one has learnt, or small networks would pay for learning it all
// again. A layer differs from the one before, so contexts learn fast again where a layer begins.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "codec/bit_model.h"
#include "lnx/codec.h"

namespace lnx::codec {

constexpr int kFlagContexts = 48;
constexpr uint32_t kFlagConfidence = 12;  // Observations that a flag context's start is worth.
constexpr int kLevels = 10;               // Classes of mean magnitude.
constexpr int kCounts = 6;                // Classes of the number of nonzero integers before.
constexpr int kUnary = 15;  // Magnitudes from here on are coded by an exponential Golomb code.
constexpr int kGolombBits = 15;
constexpr uint32_t kTapUnary = 4;          // Magnitudes from here on are coded alike for all taps.
constexpr uint32_t kLayerConfidence = 40;  // What earlier layers are worth at most, observations.

// 16 * log2(x), linear between powers of two and rounded down; 0 < x.
inline int log2_16(uint32_t x) {
  const int exponent = 31 - __builtin_clz(x);
  return 16 * exponent + int((uint64_t{x} << 4 >> exponent) & 15);
}

// 16 * log2 of the odds of a probability p / 65536, which is read in steps of 16.
struct LogOddsTable {
  LogOddsTable() {
    for (uint32_t i = 0; i < 4096; ++i)
      odds[i] = int16_t(log2_16(16 * i + 8) - log2_16(65536 - (16 * i + 8)));
  }
  int16_t odds[4096];
};

inline const LogOddsTable kLogOdds;

inline int log_odds(uint32_t p) { return kLogOdds.odds[p >> 4]; }

// What `16 * log2 of the odds` says, as the odds' numerator over 16.
inline uint64_t odds_times_16(int magnitude) {
  return uint64_t(16 + (magnitude & 15)) << (magnitude >> 4);
}

// The inverse of log_odds, nearly.
inline uint32_t probability(int odds) {
  odds = std::clamp(odds, -150, 150);
  const uint32_t unlikely = uint32_t((1u << 20) / (odds_times_16(odds < 0 ? -odds : odds) + 16));
  return odds < 0 ? unlikely : 65535 - unlikely;
}

// left / total as a probability that is neither 0 nor 1.
inline uint32_t share(uint64_t left, uint64_t total) {
  return uint32_t(std::clamp<uint64_t>((left << 16) / total, 32, 65536 - 32));
}

// The context of a flag, from the log-odds of its row, its column and all slices left. The weights
// were fitted on trained networks; 1, 1 and -1 would hold if rows and columns were independent.
inline int flag_context(int row, int column, int overall) {
  const int odds = (5 * row + 7 * column - 4 * overall) >> 3;
  return std::clamp((odds + 192) >> 3, 0, kFlagContexts - 1);
}

// What the estimate itself says in each flag context, as a model for "the slice is zero".
inline BitModel initial_flag_model(int context) {
  const int odds = 8 * context + 4 - 192;  // Of "nonzero", in sixteenths.
  const int magnitude = odds < 0 ? -odds : odds;
  const uint64_t power = odds_times_16(magnitude);
  const uint64_t likely = (power << 22) / (power + 16);
  return {uint32_t(odds < 0 ? likely : BitModel::kOne - likely), kFlagConfidence};
}

// The class of a mean magnitude, given as the sum of the row's and the column's in units of 1/8192.
inline uint32_t level_of(uint32_t sum) {
  constexpr uint32_t kThresholds[kLevels - 1] = {655,   1311,  2458,  4096, 6554,
                                                 10650, 18022, 32768, 65536};
  uint32_t level = 0;
  for (const uint32_t threshold : kThresholds) level += sum >= threshold;
  return level;
}

// A coarse context and its finer ones.
template <int Children>
struct Family {
  BitModel parent;
  BitModel children[Children];

  void forget(uint32_t limit) {
    parent.forget(limit);
    for (BitModel& child : children) child.forget(limit);
  }

  template <class Coder>
  LNX_INLINE bool code(Coder& coder, uint32_t child, bool bit) {
    BitModel& model = children[child];
    if (model.is_new()) model.inherit(parent);
    bit = model.code(coder, bit);
    parent.learn(bit);
    return bit;
  }

  // The same for bits that are hard to foresee.
  template <class Coder>
  LNX_INLINE bool code_even(Coder& coder, uint32_t child, bool bit) {
    BitModel& model = children[child];
    if (model.is_new()) model.inherit(parent);
    bit = model.code_even(coder, bit);
    parent.learn_even(bit);
    return bit;
  }
};

// How dense the filters of a weight are.
struct Density {
  std::vector<uint32_t> filters;  // Nonzero slices of each filter.
  uint32_t slices = 0;            // Slices of a filter.
  uint64_t nonzero = 0;           // Nonzero slices of the weight.

  // How much denser than the weight's average filter `f` is, as log-odds.
  int excess(size_t f) const {
    const uint64_t part = (2 * uint64_t{filters[f]} + 1) << 16;
    return log_odds(uint32_t(part / (2 * uint64_t{slices} + 2))) -
           log_odds(share(nonzero, uint64_t{slices} * filters.size()));
  }
};

// The start of "is the magnitude above u?": 0.7, and what it is worth in observations.
constexpr uint32_t kLikelyLarger = 1258291;
constexpr uint32_t kMagnitudeConfidence = 3;

// The adaptive state that one decoder's weights share within a stream.
struct LatentModels {
  explicit LatentModels(uint32_t length)
      : taps(length * kCounts),
        signs(length),
        magnitudes(length * (kTapUnary - 1) + kUnary - kTapUnary) {
    for (int context = 0; context < kFlagContexts; ++context)
      flags[context] = initial_flag_model(context);
    for (auto& family : magnitudes) family.parent = {kLikelyLarger, kMagnitudeConfidence};
  }

  void begin_weight() {
    for (auto& family : taps) family.forget(kLayerConfidence);
    for (auto& family : signs) family.forget(kLayerConfidence);
    for (auto& family : magnitudes) family.forget(kLayerConfidence);
  }

  // "Is the magnitude above u?" for u below kTapUnary, at index u - 1, and from there on. Finer by
  // level, and by sign: integers are often large on one side of zero alone.
  using Magnitudes = Family<2 * kLevels>;
  Magnitudes* tap_magnitudes(uint32_t tap) { return &magnitudes[tap * (kTapUnary - 1)]; }
  Magnitudes* large_magnitudes(uint32_t length) { return tap_magnitudes(length); }

  BitModel flags[kFlagContexts];       // Is the slice nonzero?
  std::vector<Family<kLevels>> taps;   // [tap][nonzero before]: is the integer nonzero?
  std::vector<Family<3>> signs;        // [tap], finer by the sign of the integer before
  std::vector<Magnitudes> magnitudes;  // [tap][u], then [u]: is the magnitude above u?
  BitModel golomb[kGolombBits];        // Prefix of the exponential Golomb code.
  Density before;                      // Of the last weight.
  int64_t mean = 2048;                 // Mean magnitude so far, in units of 1/4096.
  uint32_t count = 0;                  // Nonzero slices so far, up to a bound.
};

// What is known about a channel (column) of the weight being coded.
struct Column {
  uint16_t nonzero;  // Probability of a nonzero slice, in 1/65536.
  uint16_t count;    // Nonzero slices so far, up to a bound.
  uint32_t mean;     // Their mean magnitude, in units of 1/4096.
};

}  // namespace lnx::codec
