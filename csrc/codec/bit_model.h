// An adaptive binary probability that learns fast at first and slowly later.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "codec/inline.h"

namespace lnx::codec {

// kRate[n] = 2^16 / (n + 1.5), rounded down: the step after n observations.
constexpr int kRateSize = 130;

constexpr std::array<uint32_t, kRateSize> make_rates() {
  std::array<uint32_t, kRateSize> rates{};
  for (uint32_t n = 0; n < kRateSize; ++n) rates[n] = (uint32_t{1} << 17) / (2 * n + 3);
  return rates;
}

constexpr std::array<uint32_t, kRateSize> kRate = make_rates();

// Moves `value` towards `target` by the step of n observations.
inline int64_t approach(int64_t value, int64_t target, uint32_t n) {
  return value + ((target - value) * int64_t{kRate[n]} >> 16);
}

class BitModel {
 public:
  static constexpr uint32_t kLimit = 127;           // Observations after which the step stays.
  static constexpr uint32_t kOne = (1u << 22) - 1;  // Probability 1, in 22 bits.
  static constexpr uint32_t kFloor = 16;            // Least coded probability, of 65536.
  static constexpr uint32_t kInherited = 4;         // See inherit().

  BitModel() : BitModel(1u << 21, 0) {}

  // `zero`: probability of a 0 in 22 bits; `count`: how many observations it is worth.
  BitModel(uint32_t zero, uint32_t count) : state_(zero << 10 | count) {}

  // Codes one decision and learns from it.
  template <class Coder>
  LNX_INLINE bool code(Coder& coder, bool bit = false) {
    bit = coder.code(zero(), bit);
    learn(bit);
    return bit;
  }

  // The same without a branch on the bit, for bits that are hard to foresee.
  template <class Coder>
  LNX_INLINE bool code_even(Coder& coder, bool bit = false) {
    bit = coder.code_even(zero(), bit);
    learn_even(bit);
    return bit;
  }

  LNX_INLINE void learn_even(bool bit) {
    const uint32_t zero = state_ >> 10;
    const uint32_t count = state_ & 1023;
    const uint32_t is_zero = uint32_t(bit) - 1;         // All ones for a 0, no ones for a 1.
    const uint32_t distance = (is_zero & kOne) ^ zero;  // kOne - zero or zero.
    const uint32_t step = uint32_t(uint64_t{distance} * kRate[count] >> 16);
    const uint32_t moved = zero + ((step ^ ~is_zero) - ~is_zero);
    state_ = moved << 10 | (count + (count < kLimit));
  }

  void learn(bool bit) {
    const uint32_t zero = state_ >> 10;
    const uint32_t count = state_ & 1023;
    const uint64_t rate = kRate[count];
    const uint32_t moved =
        bit ? zero - uint32_t(zero * rate >> 16) : zero + uint32_t((kOne - zero) * rate >> 16);
    state_ = moved << 10 | (count + (count < kLimit));
  }

  // The coded probability of a 0, in 1/65536, and how many decisions it was learnt from.
  uint32_t zero() const { return std::clamp(state_ >> 16, kFloor, 65536 - kFloor); }
  uint32_t count() const { return state_ & 1023; }

  // Whether nothing has been learnt.
  bool is_new() const { return count() == 0; }

  // Trusts what has been learnt no more than `limit` observations.
  void forget(uint32_t limit) { state_ = (state_ & ~1023u) | std::min(state_ & 1023, limit); }

  // Starts from what another model has learnt, trusting it as much as kInherited observations.
  void inherit(const BitModel& other) {
    state_ = (other.state_ & ~1023u) | std::min(other.state_ & 1023, kInherited);
  }

 private:
  uint32_t state_;  // Probability in the upper 22 bits, observations in the lower 10.
};

}  // namespace lnx::codec
