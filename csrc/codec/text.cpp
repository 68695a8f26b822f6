// Bytes that describe rather than compute: the graph and the metadata. Each bit is predicted in the
// contexts of the last 0, 1, 2, 3 and 4 bytes, and the predictions are mixed by weights that are
// learnt on the way. A kilobyte of names and sizes, each seen in many layers, is what this is for.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "codec/bit_model.h"
#include "codec/latent_models.h"
#include "codec/range_coder.h"
#include "lnx/codec.h"

namespace lnx {
namespace {

using codec::BitModel;
using codec::Decoder;
using codec::Encoder;

constexpr int kOrders = 5;          // Contexts of 0 to 4 bytes.
constexpr int kTableBits = 16;      // Each has a table of this many bits, by a hash.
constexpr int64_t kWeight = 26214;  // What a prediction counts at first, in 1/65536.
constexpr int kMixerShift = 10;     // How fast weights learn.
constexpr uint32_t kByteHash = 0x9E3779B1;
constexpr uint32_t kNodeHash = 0x85EBCA6B;

// How far to trust a model that has seen so many decisions, in sixteenths.
constexpr int kTrust[4] = {0, 12, 14, 16};

class TextModel {
 public:
  TextModel() : tables_(size_t{kOrders} << kTableBits) {
    for (auto& weights : weights_) std::fill(std::begin(weights), std::end(weights), kWeight);
  }

  template <class Coder>
  uint8_t code(Coder& coder, uint8_t truth) {
    uint32_t node = 1;
    for (int place = 7; place >= 0; --place)
      node = node << 1 | uint32_t(code_bit(coder, node, truth >> place & 1));
    last_ = last_ << 8 | (node & 255);
    return uint8_t(node);
  }

 private:
  template <class Coder>
  bool code_bit(Coder& coder, uint32_t node, bool bit) {
    BitModel* models[kOrders];
    int odds[kOrders];  // Of a 1, in sixteenths of powers of two.
    int known = 0;
    for (int order = 0; order < kOrders; ++order) {
      const auto bytes = uint32_t(last_ & ((uint64_t{1} << (8 * order)) - 1));
      const uint32_t slot = (bytes * kByteHash + node * kNodeHash) >> (32 - kTableBits);
      const BitModel& model = tables_[(size_t(order) << kTableBits) + slot];
      models[order] = &tables_[(size_t(order) << kTableBits) + slot];
      odds[order] = -codec::log_odds(model.zero()) * kTrust[std::min(model.count(), 3u)] >> 4;
      known += !model.is_new();
    }
    int64_t (&weights)[kOrders] = weights_[known];
    int64_t sum = 0;
    for (int order = 0; order < kOrders; ++order) sum += weights[order] * odds[order];
    const auto mixed = int(std::clamp<int64_t>(sum >> 16, -150, 150));
    const auto one = int32_t(codec::probability(mixed));
    bit = coder.code(uint32_t(65536 - one), bit);
    const int32_t error = (bit ? 65535 : 0) - one;
    for (int order = 0; order < kOrders; ++order) {
      weights[order] += int64_t{odds[order]} * error >> kMixerShift;
      models[order]->learn(bit);
    }
    return bit;
  }

  std::vector<BitModel> tables_;
  int64_t weights_[kOrders + 1][kOrders];  // [number of contexts seen before][order]
  uint64_t last_ = 0;                      // The last bytes, the latest one lowest.
};

}  // namespace

void encode_text(const uint8_t* data, size_t size, std::vector<uint8_t>& out) {
  std::vector<uint8_t> stream;
  Encoder encoder(stream);
  TextModel model;
  for (size_t i = 0; i < size; ++i) model.code(encoder, data[i]);
  encoder.finish();
  out.insert(out.end(), stream.begin(), stream.end());
}

CodecStatus decode_text(const uint8_t* data, size_t size, size_t count, std::vector<uint8_t>& out) {
  Decoder decoder(data, size);
  TextModel model;
  for (size_t i = 0; i < count; ++i) {
    out.push_back(model.code(decoder, 0));
    if (decoder.exhausted()) return CodecStatus::kExhausted;
  }
  return decoder.at_end() ? CodecStatus::kOk : CodecStatus::kLeftover;
}

}  // namespace lnx
