// A binary range coder with 64-bit state that moves 32 bits at a time.
//
// Invariant of both sides: 2^32 <= range < 2^64 before each decision, and the coded number, read as
// a binary fraction, lies in [low, low + range). A decision with probability p/65536 of being 0
// splits the range at (range >> 16) * p. Renormalising by 32 bits instead of 8 makes its branch
// rare, and so cheap: that matters when most decisions cost a tenth of a bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "codec/inline.h"

namespace lnx::codec {

constexpr uint64_t kRenormalise = uint64_t{1} << 32;

// The end of a stream: the number in [low, low + range) that ends in the most zero bytes (smallest
// of these), and how many zero bytes that is. They are not stored.
struct Tail {
  uint64_t value;  // Modulo 2^64; a value below `low` stands for a carry.
  int zero_bytes;
};

inline Tail find_tail(uint64_t low, uint64_t range) {
  for (int zeros = 8; zeros > 0; --zeros) {
    const uint64_t mask = zeros == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * zeros)) - 1;
    const uint64_t value = (low + mask) & ~mask;
    if (value - low < range) return {value, zeros};
  }
  return {low, 0};
}

class Encoder {
 public:
  // Appends to `out`, which must outlive this object.
  explicit Encoder(std::vector<uint8_t>& out) : out_(&out) {}

  // Codes `bit`, whose probability of being 0 is p / 65536, 0 < p < 65536.
  LNX_INLINE bool code(uint32_t p, bool bit) {
    const uint64_t bound = (range_ >> 16) * p;
    if (bit) {
      add(bound);
      range_ -= bound;
    } else {
      range_ = bound;
    }
    if (range_ < kRenormalise) {
      for (int shift = 56; shift >= 32; shift -= 8) out_->push_back(uint8_t(low_ >> shift));
      low_ <<= 32;
      range_ <<= 32;
    }
    return bit;
  }

  // The decoder has a way of its own for bits that are hard to foresee.
  LNX_INLINE bool code_even(uint32_t p, bool bit) { return code(p, bit); }

  // Ends the stream.
  void finish() {
    const Tail tail = find_tail(low_, range_);
    add(tail.value - low_);
    for (int i = 0; i < 8 - tail.zero_bytes; ++i) out_->push_back(uint8_t(low_ >> (56 - 8 * i)));
  }

 private:
  void add(uint64_t amount) {
    low_ += amount;
    if (low_ >= amount) return;
    // A carry into bytes already written. It stops before the first byte of this stream, because
    // the number stays below 1.
    for (size_t i = out_->size(); ++(*out_)[--i] == 0;) {
    }
  }

  std::vector<uint8_t>* out_;
  uint64_t low_ = 0;
  uint64_t range_ = ~uint64_t{0};
};

class Decoder {
 public:
  Decoder(const uint8_t* data, size_t size) : data_(data), size_(size) {
    for (size_t i = 0; i < 8; ++i) code_ = code_ << 8 | byte(data, size, i);
    position_ = 8;
  }

  // Decodes a bit whose probability of being 0 is p / 65536. The second argument belongs to the
  // encoder, which shares the modelling code.
  LNX_INLINE bool code(uint32_t p, bool = false) {
    const uint64_t bound = (range_ >> 16) * p;
    const bool bit = code_ >= bound;
    if (bit) {
      code_ -= bound;
      range_ -= bound;
    } else {
      range_ = bound;
    }
    if (__builtin_expect(range_ < kRenormalise, 0)) {
      range_ <<= 32;
      code_ = code_ << 32 | next_word();
    }
    return bit;
  }

  // The same without a branch on the bit, for bits that are hard to foresee.
  LNX_INLINE bool code_even(uint32_t p, bool = false) {
    const uint64_t bound = (range_ >> 16) * p;
    const uint64_t is_one = uint64_t{code_ < bound} - 1;  // All ones for a 1, no ones for a 0.
    code_ -= bound & is_one;
    range_ = bound + ((range_ - 2 * bound) & is_one);
    if (__builtin_expect(range_ < kRenormalise, 0)) {
      range_ <<= 32;
      code_ = code_ << 32 | next_word();
    }
    return is_one != 0;
  }

  // Whether more was asked for than any encoder leaves unstored: the stream is damaged.
  bool exhausted() const { return position_ > size_ + 8; }

  // Whether the stream ends here, with exactly the bytes that the encoder would have written.
  bool at_end() const {
    uint64_t window = 0;
    for (size_t i = position_ - 8; i < position_; ++i) window = window << 8 | byte(data_, size_, i);
    const Tail tail = find_tail(window - code_, range_);
    return !exhausted() && tail.value == window && size_ + size_t(tail.zero_bytes) == position_;
  }

 private:
  // Bytes behind the end read as zeros.
  static uint64_t byte(const uint8_t* data, size_t size, size_t i) {
    return i < size ? data[i] : 0;
  }

  // The next four bytes where some lie behind the end. It takes no `this`, so that the state of a
  // local decoder can stay in registers.
  [[gnu::noinline]] static uint64_t last_word(const uint8_t* data, size_t size, size_t position) {
    uint64_t word = 0;
    for (size_t i = 0; i < 4; ++i) word = word << 8 | byte(data, size, position + i);
    return word;
  }

  LNX_INLINE uint64_t next_word() {
    const size_t at = position_;
    position_ += 4;
    if (__builtin_expect(position_ > size_, 0)) return last_word(data_, size_, at);
    const uint8_t* from = data_ + at;
    return uint64_t{from[0]} << 24 | uint64_t{from[1]} << 16 | uint64_t{from[2]} << 8 | from[3];
  }

  const uint8_t* data_;
  size_t size_;
  size_t position_ = 0;
  uint64_t code_ = 0;
  uint64_t range_ = ~uint64_t{0};
};

}  // namespace lnx::codec
