// Side integers (scales, biases, decoder matrices): sign and magnitude, the magnitude as its number
// of bits, then its bits from the top. Lower bits are as good as random unless a vector was rounded
// to a few significant bits, when they are zeros: so each is learnt by its place alone.
#include <algorithm>
#include <memory>

#include "codec/bit_model.h"
#include "codec/range_coder.h"
#include "lnx/codec.h"

namespace lnx {
namespace {

using codec::BitModel;
using codec::Decoder;
using codec::Encoder;

constexpr uint32_t kKinds = 4;
constexpr uint32_t kMaxBits = 23;

struct IntModels {
  BitModel bits[4]
               [32];  // [change of the number of bits before; 3: filter of zeros][node of a tree]
  BitModel signs[3];  // [sign before]
  BitModel below[kMaxBits + 1][4];  // [number of bits][node of a binary tree]: first two bits
  BitModel low[kMaxBits];           // [place below the leading bit]: all others
};

uint32_t bit_length(uint32_t magnitude) {
  return magnitude == 0 ? 0 : 32 - uint32_t(__builtin_clz(magnitude));
}

bool is_live(const IntVector& vector, size_t i) { return vector.live == nullptr || vector.live[i]; }

template <class Coder>
class IntCoder {
 public:
  IntCoder(Coder& coder, IntModels& models) : coder_(coder), models_(models) {}

  // Codes one integer, `truth` being known to the encoder alone.
  int32_t code(int32_t truth, bool live) {
    const uint32_t magnitude = uint32_t(truth < 0 ? -truth : truth);
    const uint32_t bits = code_bits(bit_length(magnitude), live ? change_ : 3);
    if (live) {
      change_ = bits + 1 < last_bits_ ? 0 : bits > last_bits_ + 1 ? 2 : 1;
      last_bits_ = bits;
    }
    too_large_ |= bits > kMaxBits;
    if (bits == 0 || too_large_) return 0;
    const bool negative = models_.signs[last_sign_].code(coder_, truth < 0);
    last_sign_ = negative ? 0 : 2;
    uint32_t found = 1;
    for (uint32_t i = 1; i < bits; ++i) {
      const bool bit = magnitude >> (bits - 1 - i) & 1;
      found = found << 1 | uint32_t(i <= 2 ? models_.below[bits][found].code(coder_, bit)
                                           : models_.low[i].code(coder_, bit));
    }
    return negative ? -int32_t(found) : int32_t(found);
  }

  // Whether a decoded magnitude was above the limit.
  bool too_large() const { return too_large_; }

 private:
  uint32_t code_bits(uint32_t truth, uint32_t context) {
    uint32_t node = 1;
    for (int i = 4; i >= 0; --i)
      node = node << 1 | uint32_t(models_.bits[context][node].code(coder_, truth >> i & 1));
    return node - 32;
  }

  Coder& coder_;
  IntModels& models_;
  uint32_t change_ = 1;
  uint32_t last_bits_ = 0;
  uint32_t last_sign_ = 1;
  bool too_large_ = false;
};

}  // namespace

void live_filters(const int32_t* latents, size_t filters, size_t size, uint8_t* live) {
  for (size_t f = 0; f < filters; ++f, latents += size)
    live[f] = std::any_of(latents, latents + size, [](int32_t value) { return value != 0; });
}

CodecStatus encode_ints(const std::vector<IntVector>& vectors, std::vector<uint8_t>& out) {
  for (const IntVector& vector : vectors) {
    if (vector.kind >= kKinds) return CodecStatus::kBadShape;
    for (size_t i = 0; i < vector.size; ++i)
      if (vector.values[i] > kMaxSideInteger || vector.values[i] < -kMaxSideInteger)
        return CodecStatus::kBadValue;
  }
  const auto models = std::make_unique<IntModels[]>(kKinds);
  std::vector<uint8_t> stream;
  Encoder encoder(stream);
  for (const IntVector& vector : vectors) {
    IntCoder<Encoder> coder(encoder, models[vector.kind]);
    for (size_t i = 0; i < vector.size; ++i) coder.code(vector.values[i], is_live(vector, i));
  }
  encoder.finish();
  out.insert(out.end(), stream.begin(), stream.end());
  return CodecStatus::kOk;
}

CodecStatus decode_ints(const uint8_t* data, size_t size, const std::vector<IntVector>& vectors) {
  const auto models = std::make_unique<IntModels[]>(kKinds);
  Decoder decoder(data, size);
  for (const IntVector& vector : vectors) {
    if (vector.kind >= kKinds) return CodecStatus::kBadShape;
    IntCoder<Decoder> coder(decoder, models[vector.kind]);
    for (size_t i = 0; i < vector.size; ++i) {
      vector.values[i] = coder.code(0, is_live(vector, i));
      if (coder.too_large()) return CodecStatus::kTooLarge;
      if (decoder.exhausted()) return CodecStatus::kExhausted;
    }
  }
  return decoder.at_end() ? CodecStatus::kOk : CodecStatus::kLeftover;
}

}  // namespace lnx
