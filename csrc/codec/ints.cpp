// Side integers. Decoder matrices and other numbers: sign and magnitude, the magnitude as its
// number of bits, then its bits from the top. Scales and biases: how far each is from the mean so
// far.
#include <algorithm>
#include <memory>
#include <type_traits>

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
constexpr uint32_t kBias = 1;         // Kinds 0 and 1 have a value for each filter.
constexpr uint32_t kMeanMemory = 30;  // Values after which a mean moves at a steady step.

struct IntModels {
  BitModel bits[3][32];             // [change of the number of bits before][node of a tree]
  BitModel signs[3];                // [sign before]
  BitModel below[kMaxBits + 1][4];  // [number of bits][node of a binary tree]: first two bits
  BitModel low[kMaxBits];           // [place below the leading bit]: all others
};

struct FilterModels {
  BitModel zeros[2];             // [whether the filter has latents other than zero]
  BitModel sign;                 // Of a scale.
  BitModel bits[32];             // [node of a tree]: number of bits of the distance
  BitModel side;                 // Whether the value is below the mean.
  BitModel below[kMaxBits + 2];  // [number of bits]: the bit below the leading one
  int64_t mean = 0;              // In 1/256. It goes on from layer to layer.
};

struct SideModels {
  IntModels ints[kKinds];
  FilterModels filters[kBias + 1];
};

uint32_t bit_length(uint32_t magnitude) {
  return magnitude == 0 ? 0 : 32 - uint32_t(__builtin_clz(magnitude));
}

bool is_live(const IntVector& vector, size_t i) { return vector.live == nullptr || vector.live[i]; }

// Codes a number of bits, below 32, from the top.
template <class Coder>
uint32_t code_bit_length(Coder& coder, BitModel (&models)[32], uint32_t truth) {
  uint32_t node = 1;
  for (int i = 4; i >= 0; --i)
    node = node << 1 | uint32_t(models[node].code(coder, truth >> i & 1));
  return node - 32;
}

template <class Coder>
class IntCoder {
 public:
  IntCoder(Coder& coder, IntModels& models) : coder_(coder), models_(models) {}

  // Codes one integer, known to the encoder alone.
  CodecStatus code(int32_t& value) {
    const int32_t truth = value;
    const uint32_t magnitude = uint32_t(truth < 0 ? -truth : truth);
    const uint32_t bits = code_bit_length(coder_, models_.bits[change_], bit_length(magnitude));
    change_ = bits + 1 < last_bits_ ? 0 : bits > last_bits_ + 1 ? 2 : 1;
    last_bits_ = bits;
    value = 0;
    if (bits > kMaxBits) return CodecStatus::kTooLarge;
    if (bits == 0) return CodecStatus::kOk;
    const bool negative = models_.signs[last_sign_].code(coder_, truth < 0);
    last_sign_ = negative ? 0 : 2;
    uint32_t found = 1;
    for (uint32_t i = 1; i < bits; ++i) {
      const bool bit = magnitude >> (bits - 1 - i) & 1;
      found = found << 1 | uint32_t(i <= 2 ? models_.below[bits][found].code(coder_, bit)
                                           : models_.low[i].code(coder_, bit));
    }
    value = negative ? -int32_t(found) : int32_t(found);
    return CodecStatus::kOk;
  }

 private:
  Coder& coder_;
  IntModels& models_;
  uint32_t change_ = 1;
  uint32_t last_bits_ = 0;
  uint32_t last_sign_ = 1;
};

// Means and spreads of scales and biases hardly change from layer to layer, and a filter of zeros
// mostly has zeros here. The mean of scales is that of their magnitudes: as short floats, these are
// nearly logarithms.
template <class Coder>
class FilterCoder {
 public:
  FilterCoder(Coder& coder, FilterModels& models, bool is_bias)
      : coder_(coder), models_(models), is_bias_(is_bias) {}

  // Codes one integer, known to the encoder alone.
  CodecStatus code(int32_t& value, bool live) {
    int64_t truth = value;
    value = 0;
    if (models_.zeros[live].code(coder_, truth == 0)) return CodecStatus::kOk;
    bool negative = false;
    if (!is_bias_) {
      negative = models_.sign.code(coder_, truth < 0);
      truth = negative ? -truth : truth;
    }
    const int64_t found = code_from((models_.mean + 128) >> 8, truth);
    const int64_t least = is_bias_ ? -int64_t{kMaxSideInteger} : 1;
    if (found == 0 || found < least || found > kMaxSideInteger) return CodecStatus::kBadValue;
    models_.mean = codec::approach(models_.mean, found * 256, count_);
    if (count_ < kMeanMemory) ++count_;
    value = int32_t(negative ? -found : found);
    return CodecStatus::kOk;
  }

 private:
  // Codes how far `truth` is from `mean`; returns it, or something too large.
  int64_t code_from(int64_t mean, int64_t truth) {
    const int64_t distance = truth - mean;
    const auto magnitude = uint32_t(distance < 0 ? -distance : distance);
    const uint32_t bits = code_bit_length(coder_, models_.bits, bit_length(magnitude));
    if (bits == 0) return mean;
    if (bits > kMaxBits + 1) return int64_t{kMaxSideInteger} + 1;
    const bool below = models_.side.code(coder_, distance < 0);
    int64_t found = 1;
    for (uint32_t i = 1; i < bits; ++i) {
      const bool bit = magnitude >> (bits - 1 - i) & 1;
      const bool got = i == 1 ? models_.below[bits].code(coder_, bit) : coder_.code(32768, bit);
      found = found << 1 | int64_t(got);
    }
    return below ? mean - found : mean + found;
  }

  Coder& coder_;
  FilterModels& models_;
  const bool is_bias_;
  uint32_t count_ = 0;
};

// Codes one vector, whose kind is known to be good.
template <class Coder>
CodecStatus code_vector(Coder& coder, SideModels& models, const IntVector& vector) {
  const bool of_filters = vector.kind <= kBias;
  IntCoder<Coder> ints(coder, models.ints[vector.kind]);
  FilterCoder<Coder> filters(coder, models.filters[of_filters ? vector.kind : 0],
                             vector.kind == kBias);
  for (size_t i = 0; i < vector.size; ++i) {
    int32_t value = vector.values[i];
    const CodecStatus status =
        of_filters ? filters.code(value, is_live(vector, i)) : ints.code(value);
    if (status != CodecStatus::kOk) return status;
    if constexpr (std::is_same_v<Coder, Decoder>) {
      if (coder.exhausted()) return CodecStatus::kExhausted;
      vector.values[i] = value;
    }
  }
  return CodecStatus::kOk;
}

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
  const auto models = std::make_unique<SideModels>();
  std::vector<uint8_t> stream;
  Encoder encoder(stream);
  for (const IntVector& vector : vectors) {
    const CodecStatus status = code_vector(encoder, *models, vector);
    if (status != CodecStatus::kOk) return status;
  }
  encoder.finish();
  out.insert(out.end(), stream.begin(), stream.end());
  return CodecStatus::kOk;
}

CodecStatus decode_ints(const uint8_t* data, size_t size, const std::vector<IntVector>& vectors) {
  const auto models = std::make_unique<SideModels>();
  Decoder decoder(data, size);
  for (const IntVector& vector : vectors) {
    if (vector.kind >= kKinds) return CodecStatus::kBadShape;
    // The decoder reads its output as the truth that only an encoder has, and does not believe it.
    std::fill(vector.values, vector.values + vector.size, 0);
    const CodecStatus status = code_vector(decoder, *models, vector);
    if (status != CodecStatus::kOk) return status;
  }
  return decoder.at_end() ? CodecStatus::kOk : CodecStatus::kLeftover;
}

}  // namespace lnx
