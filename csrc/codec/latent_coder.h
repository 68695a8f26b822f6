// Walks through a weight, slice by slice, for encoder and decoder alike.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "codec/latent_models.h"
#include "codec/range_coder.h"
#include "lnx/codec.h"

namespace lnx::codec {

constexpr int64_t kFlagMemory = 62;  // Observations after which row and column frequencies
constexpr int64_t kFlagPrior = 3;    // move at a steady step, and what their start is worth.
constexpr int64_t kMeanMemory = 30;
constexpr int64_t kLayerMemory = 100;

// Coder is Encoder (Value = const int32_t) or Decoder (Value = int32_t).
// Length is the slice length; 0 where it is only known at run time.
template <class Coder, class Value, int Length>
class WeightCoder {
  static constexpr bool kDecoding = std::is_same_v<Coder, Decoder>;

 public:
  WeightCoder(Coder& coder, LatentModels& models, const WeightShape& shape)
      : coder_(coder),
        models_(models),
        shape_(shape),
        reciprocal_(65536 / shape.length),
        columns_(shape.slices) {}

  CodecStatus run(Value* values) {
    const uint64_t total = uint64_t{shape_.filters} * shape_.slices;
    uint64_t left = shape_.nonzero;
    if (left == 0) return CodecStatus::kOk;
    // A weight without zero slices needs no flags.
    const bool full = left == total;
    models_.begin_weight();
    begin_columns(share(left, total));
    density_ = {std::vector<uint32_t>(shape_.filters), shape_.slices, left};
    for (uint32_t f = 0; f < shape_.filters; ++f, values += size_t{shape_.slices} * length()) {
      if (full) {
        code_full_row(values);
        density_.filters[f] = shape_.slices;
      } else {
        const uint64_t before = left;
        left = code_row(values, f, left, total - uint64_t{f} * shape_.slices);
        density_.filters[f] = uint32_t(before - left);
      }
      if constexpr (kDecoding) {
        if (coder_.exhausted()) return CodecStatus::kExhausted;
        if (too_large_) return CodecStatus::kTooLarge;
      }
      if (left == 0) break;
    }
    if (!full && left != 0) return CodecStatus::kWrongCount;
    models_.before = std::move(density_);
    return CodecStatus::kOk;
  }

 private:
  uint32_t length() const { return Length ? uint32_t(Length) : shape_.length; }

  // A channel starts as dense as the weight, and denser or less dense if the filter is that made it
  // in the weight before.
  void begin_columns(uint32_t start) {
    for (Column& column : columns_) column = {uint16_t(start), 0, 0};
    const Density& before = models_.before;
    if (before.filters.size() != columns_.size()) return;
    const int odds = log_odds(start);
    for (size_t s = 0; s < columns_.size(); ++s)
      columns_[s].nonzero = uint16_t(probability(odds + (9 * before.excess(s) >> 4)));
  }

  void code_full_row(Value* values) {
    Coder coder = coder_;
    int64_t row_mean = models_.mean;
    uint32_t row_count = 0;
    for (uint32_t s = 0; s < shape_.slices; ++s, values += length())
      code_slice(coder, values, columns_[s], row_mean, row_count);
    coder_ = coder;
  }

  // Codes filter f; `left` of the `remaining` slices are nonzero. Returns what is left after it.
  uint64_t code_row(Value* values, uint32_t f, uint64_t left, uint64_t remaining) {
    Coder coder = coder_;  // A local one can stay in registers.
    const uint32_t overall = share(left, remaining);
    const int overall_odds = log_odds(overall);
    const uint32_t column_step = uint32_t(std::min<int64_t>(f, kFlagMemory) + kFlagPrior);
    int64_t row = overall;
    int64_t row_mean = models_.mean;
    uint32_t row_count = 0;
    for (uint32_t s = 0; s < shape_.slices; ++s, values += length()) {
      Column& column = columns_[s];
      const int context =
          flag_context(log_odds(uint32_t(row)), log_odds(column.nonzero), overall_odds);
      bool flag = false;
      if constexpr (!kDecoding) flag = is_nonzero(values);
      flag = models_.flags[context].code(coder, flag);
      const int64_t target = flag ? 65535 : 0;
      row = approach(row, target, uint32_t(std::min<int64_t>(s, kFlagMemory) + kFlagPrior));
      column.nonzero = uint16_t(approach(column.nonzero, target, column_step));
      if (flag) {
        code_slice(coder, values, column, row_mean, row_count);
        if (--left == 0) break;
      }
    }
    coder_ = coder;
    return left;
  }

  bool is_nonzero(const Value* values) const {
    for (uint32_t t = 0; t < length(); ++t)
      if (values[t] != 0) return true;
    return false;
  }

  LNX_INLINE void code_slice(Coder& coder, Value* values, Column& column, int64_t& row_mean,
                             uint32_t& row_count) {
    const int64_t column_mean = column.count ? column.mean : models_.mean;
    const uint32_t level = level_of(uint32_t(row_mean + column_mean));
    uint32_t sum = 0;
    uint32_t nonzero = 0;
    int32_t before = 0;
    for (uint32_t t = 0; t < length(); ++t) {
      // The last integer of a nonzero slice whose others are zero is not zero.
      if (t + 1 < length() || nonzero != 0) {
        auto& family = models_.taps[t * kCounts + std::min<uint32_t>(nonzero, kCounts - 1)];
        if (!family.code(coder, level, values[t] != 0)) {
          before = 0;
          continue;
        }
      }
      sum += code_value(coder, values[t], t, level, before);
      before = values[t];
      ++nonzero;
    }
    const int64_t mean =
        std::min<int64_t>(std::min(sum, 65535u) * uint64_t{reciprocal_} >> 4, (1 << 20) - 1);
    row_mean = approach(row_mean, mean, std::min<uint32_t>(row_count++, kMeanMemory) + 2);
    column.mean = uint32_t(approach(column_mean, mean, column.count + 1u));
    if (column.count < kMeanMemory) ++column.count;
    models_.mean = approach(models_.mean, mean, models_.count);
    if (models_.count < kLayerMemory) ++models_.count;
  }

  // Codes an integer known not to be zero; returns its magnitude.
  LNX_INLINE uint32_t code_value(Coder& coder, Value& value, uint32_t t, uint32_t level,
                                 int32_t before) {
    const uint32_t side = 1u + uint32_t(before > 0) - uint32_t(before < 0);
    const bool negative = models_.signs[t].code_even(coder, side, value < 0);
    auto* unary = models_.tap_magnitudes(t);
    const uint32_t child = level + (negative ? kLevels : 0);
    const uint32_t truth = kDecoding ? 0 : magnitude(value);
    uint32_t found = 1;
    while (found < kTapUnary && unary[found - 1].code(coder, child, truth > found)) ++found;
    if (found == kTapUnary) {
      unary = models_.large_magnitudes(length());
      while (found < kUnary && unary[found - kTapUnary].code(coder, child, truth > found)) ++found;
    }
    if (found == kUnary) found += code_golomb(coder, truth - kUnary);
    if constexpr (kDecoding) {
      if (found > uint32_t(kMaxLatent)) {
        too_large_ = true;
        found = kMaxLatent;
      }
      const int32_t flip = -int32_t(negative);  // The sign without a branch on it.
      value = (int32_t(found) ^ flip) - flip;
    }
    return found;
  }

  // The exponential Golomb code: the number of bits of x + 1 in unary, then the bits themselves.
  LNX_INLINE uint32_t code_golomb(Coder& coder, uint32_t x) {
    const uint32_t truth = kDecoding ? 0 : 31 - uint32_t(__builtin_clz(x + 1));
    uint32_t bits = 0;
    while (bits < kGolombBits && models_.golomb[bits].code(coder, truth > bits)) ++bits;
    uint32_t number = 1;
    for (uint32_t bit = bits; bit-- > 0;)
      number = number << 1 | uint32_t(coder.code_even(32768, ((x + 1) >> bit) & 1));
    return number - 1;
  }

  static uint32_t magnitude(int32_t value) { return uint32_t(value < 0 ? -value : value); }

  Coder& coder_;
  LatentModels& models_;
  const WeightShape& shape_;
  const uint32_t reciprocal_;
  std::vector<Column> columns_;
  Density density_;
  bool too_large_ = false;
};

}  // namespace lnx::codec
