// Fuzz target of the entropy decoder: no input may make it read or write outside the memory given,
// and what it accepts must be, byte for byte, what the encoder writes.
//
// The first byte of an input chooses what to do, the next ones are shapes, the rest is the stream
// or, for the round trips, the integers. Nothing here depends on the coder's output, so that inputs
// keep their worth when the coder changes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "lnx/codec.h"

namespace {

using lnx::CodecStatus;
using lnx::WeightShape;
using Bytes = std::vector<uint8_t>;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "FINDING: %s\n", what);
  std::abort();
}

// Reads an input from its front; behind the end are zeros.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  uint8_t u8() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }

  uint64_t bytes(int count) {
    uint64_t value = 0;
    for (int i = 0; i < count; ++i) value = value << 8 | u8();
    return value;
  }

  // A copy in memory of its own, so that the sanitizer sees where the stream ends.
  Bytes rest() const { return {data_, data_ + size_}; }
  bool empty() const { return size_ == 0; }

 private:
  const uint8_t* data_;
  size_t size_;
};

size_t latents_of(const WeightShape& s) { return size_t{s.filters} * s.slices * s.length; }

struct Weights {
  std::vector<WeightShape> shapes;
  std::vector<std::vector<int32_t>> values;

  std::vector<int32_t*> pointers() {
    std::vector<int32_t*> result;
    for (auto& array : values) result.push_back(array.data());
    return result;
  }

  void clear() {
    for (auto& array : values) std::fill(array.begin(), array.end(), 0);
  }
};

Weights read_weights(Input& input) {
  static constexpr uint32_t kLengths[] = {1, 2, 3, 4, 5, 9, 25, 256};
  Weights weights;
  const int count = 1 + input.u8() % 4;
  for (int i = 0; i < count; ++i) {
    const uint8_t kind = input.u8();
    WeightShape shape{};
    shape.filters = 1 + input.u8() % 16;
    shape.slices = 1 + input.u8() % 16;
    shape.length = kLengths[kind % 8];
    // Mostly one set of models for each slice length, as in files; sometimes a wrong one.
    shape.model = kind >= 0xF8 ? kind : kind % 8;
    if (shape.length == 256) shape.filters = 1 + shape.filters % 2;
    const uint64_t slices = uint64_t{shape.filters} * shape.slices;
    shape.nonzero = input.bytes(2) % (slices + 2);  // One more than there are is refused.
    weights.shapes.push_back(shape);
    weights.values.emplace_back(latents_of(shape), 0);
  }
  return weights;
}

CodecStatus decode(const Bytes& data, Weights& weights) {
  return lnx::decode_latents(data.data(), data.size(), weights.shapes.data(),
                             weights.pointers().data(), weights.shapes.size());
}

// Decodes in both ways, which must agree, and encodes again what was accepted.
void check_latents(const Bytes& data, Weights& weights) {
  weights.clear();
  const CodecStatus status = decode(data, weights);
  const size_t count = weights.shapes.size();
  size_t taken = 0;
  const lnx::WeightSink sink = [&](size_t i, const int32_t* values) {
    require(i == taken++, "weights come out of order");
    require(std::equal(weights.values[i].begin(), weights.values[i].end(), values),
            "array and sink differ");
  };
  const std::vector<lnx::Stream> streams{{data.data(), data.size(), 0, count}};
  const auto statuses = lnx::decode_streams(streams, weights.shapes.data(), sink, 1);
  require(statuses.size() == 1 && statuses[0] == status, "statuses differ");
  if (status != CodecStatus::kOk) return;
  require(taken == count, "a weight is missing");
  Bytes again;
  const auto pointers = weights.pointers();
  require(lnx::encode_latents(weights.shapes.data(), pointers.data(), count, again) == status,
          "decoded latents cannot be encoded");
  require(again == data, "a stream was accepted that no encoder writes");
}

struct Vectors {
  std::vector<std::vector<int32_t>> values;
  std::vector<Bytes> live;
  std::vector<uint32_t> kinds;

  std::vector<lnx::IntVector> views() {
    std::vector<lnx::IntVector> result;
    for (size_t i = 0; i < values.size(); ++i)
      result.push_back({values[i].data(), values[i].size(), kinds[i],
                        live[i].empty() ? nullptr : live[i].data()});
    return result;
  }
};

Vectors read_vectors(Input& input) {
  Vectors vectors;
  const int count = input.u8() % 6;
  for (int i = 0; i < count; ++i) {
    const uint8_t kind = input.u8();
    const size_t size = input.u8() % 64;
    vectors.kinds.push_back(kind == 255 ? 4 : kind % 4);  // 4 is refused.
    vectors.values.emplace_back(size, 0);
    vectors.live.emplace_back();
    if (kind & 4)
      for (size_t j = 0; j < size; ++j) vectors.live.back().push_back(input.u8() & 1);
  }
  return vectors;
}

void check_ints(const Bytes& data, Vectors& vectors) {
  const auto views = vectors.views();
  if (lnx::decode_ints(data.data(), data.size(), views) != CodecStatus::kOk) return;
  Bytes again;
  require(lnx::encode_ints(views, again) == CodecStatus::kOk, "decoded integers are not encodable");
  require(again == data, "a stream was accepted that no encoder writes");
}

// Small values mostly, and all the way to just beyond the limit.
int32_t read_value(Input& input, int32_t limit) {
  const uint8_t first = input.u8();
  if (first < 0xE0) return int32_t(first % 7) - 3;
  const auto large = static_cast<int32_t>(input.bytes(3) % (uint64_t(limit) + 2));
  return first & 1 ? large : -large;
}

// Damage to a good stream reaches deeper than random bytes do.
void damage(Bytes& data, Input& input) {
  for (int edits = 1 + input.u8() % 3; edits > 0 && !data.empty(); --edits) {
    const size_t at = input.bytes(2) % data.size();
    const uint8_t how = input.u8();
    if (how < 0x80)
      data[at] ^= uint8_t(1 << how % 8);
    else if (how < 0xC0)
      data[at] = input.u8();
    else if (how < 0xE0)
      data.resize(at);
    else
      data.insert(data.begin() + std::ptrdiff_t(at), input.u8());
  }
}

void round_trip_latents(Input& input) {
  Weights weights = read_weights(input);
  for (size_t i = 0; i < weights.shapes.size(); ++i) {
    WeightShape& shape = weights.shapes[i];
    const uint64_t declared = shape.nonzero;
    shape.nonzero = 0;
    int32_t* slice = weights.values[i].data();
    const uint32_t total = shape.filters * shape.slices;
    for (uint32_t s = 0; s < total && !input.empty(); ++s, slice += shape.length) {
      if (declared < total && input.u8() < 0xA0) continue;
      for (uint32_t t = 0; t < shape.length; ++t) slice[t] = read_value(input, lnx::kMaxLatent);
      shape.nonzero += std::any_of(slice, slice + shape.length, [](int32_t v) { return v != 0; });
    }
  }
  Bytes data;
  const auto pointers = weights.pointers();
  const CodecStatus status =
      lnx::encode_latents(weights.shapes.data(), pointers.data(), weights.shapes.size(), data);
  require(status == CodecStatus::kOk || data.empty(), "an error left bytes behind");
  if (status != CodecStatus::kOk) return;
  const auto expected = weights.values;
  weights.clear();
  require(decode(data, weights) == CodecStatus::kOk, "an encoded stream is refused");
  require(weights.values == expected, "latents change in a round trip");
  damage(data, input);
  data.shrink_to_fit();
  check_latents(data, weights);
}

void round_trip_ints(Input& input) {
  Vectors vectors = read_vectors(input);
  for (auto& values : vectors.values)
    for (int32_t& value : values) value = read_value(input, lnx::kMaxSideInteger);
  Bytes data;
  const CodecStatus status = lnx::encode_ints(vectors.views(), data);
  require(status == CodecStatus::kOk || data.empty(), "an error left bytes behind");
  if (status != CodecStatus::kOk) return;
  const auto expected = vectors.values;
  require(lnx::decode_ints(data.data(), data.size(), vectors.views()) == CodecStatus::kOk,
          "an encoded stream is refused");
  require(vectors.values == expected, "integers change in a round trip");
  damage(data, input);
  data.shrink_to_fit();
  check_ints(data, vectors);
}

void check_text(const Bytes& data, size_t count) {
  Bytes text;
  if (lnx::decode_text(data.data(), data.size(), count, text) != CodecStatus::kOk) return;
  require(text.size() == count, "text of a wrong length");
  Bytes again;
  lnx::encode_text(text.data(), text.size(), again);
  require(again == data, "a text was accepted that no encoder writes");
}

void round_trip_text(Input& input) {
  const Bytes edits{input.u8(), input.u8(), input.u8(), input.u8(), input.u8()};
  const Bytes text = input.rest();
  Bytes data;
  lnx::encode_text(text.data(), text.size(), data);
  Bytes found;
  require(lnx::decode_text(data.data(), data.size(), text.size(), found) == CodecStatus::kOk,
          "an encoded text is refused");
  require(found == text, "text changes in a round trip");
  Input how(edits.data(), edits.size());
  damage(data, how);
  data.shrink_to_fit();
  check_text(data, text.size());
}

// Any shape at all. What is too large for this test gets no memory, and must be refused if it is
// too large for the codec.
void hostile_shape(Input& input) {
  WeightShape shape{};
  shape.filters = static_cast<uint32_t>(input.bytes(4));
  shape.slices = static_cast<uint32_t>(input.bytes(4));
  shape.length = static_cast<uint32_t>(input.bytes(4));
  shape.model = static_cast<uint32_t>(input.bytes(2));
  shape.nonzero = input.bytes(8);
  const auto size = static_cast<unsigned __int128>(shape.filters) * shape.slices * shape.length;
  const bool refused = size == 0 || size > lnx::kMaxWeightLatents ||
                       shape.length > lnx::kMaxSliceLength || shape.model >= lnx::kMaxModels ||
                       shape.nonzero > uint64_t{shape.filters} * shape.slices;
  if (!refused && size > 4096) return;
  std::vector<int32_t> values(refused ? 0 : static_cast<size_t>(size), 0);
  int32_t* into = values.data();
  const Bytes data = input.rest();
  const CodecStatus status = lnx::decode_latents(data.data(), data.size(), &shape, &into, 1);
  require((status == CodecStatus::kBadShape) == refused, "a shape is judged wrongly");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const uint8_t what = input.u8();
  if (what >= 250) {
    round_trip_text(input);
    return 0;
  }
  if (what >= 240) {
    const auto count = static_cast<size_t>(input.bytes(2) % 2048);
    check_text(input.rest(), count);
    return 0;
  }
  switch (what % 5) {
    case 0: {
      Weights weights = read_weights(input);
      check_latents(input.rest(), weights);
      break;
    }
    case 1: {
      Vectors vectors = read_vectors(input);
      check_ints(input.rest(), vectors);
      break;
    }
    case 2:
      round_trip_latents(input);
      break;
    case 3:
      round_trip_ints(input);
      break;
    default:
      hostile_shape(input);
  }
  return 0;
}
