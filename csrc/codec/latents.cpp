#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <new>
#include <system_error>
#include <thread>

#include "codec/latent_coder.h"
#include "lnx/codec.h"

namespace lnx {
namespace {

using codec::Decoder;
using codec::Encoder;
using codec::LatentModels;
using codec::WeightCoder;

bool valid(const WeightShape& shape) {
  if (shape.filters == 0 || shape.slices == 0 || shape.length == 0) return false;
  if (shape.length > kMaxSliceLength) return false;
  if (shape.model >= kMaxModels) return false;
  const uint64_t slices = uint64_t{shape.filters} * shape.slices;
  return slices <= kMaxWeightLatents / shape.length && shape.nonzero <= slices;
}

// The common kernels get code of their own; all others share one.
template <class Coder, class Value>
CodecStatus code_weight(Coder& coder, LatentModels& models, const WeightShape& shape,
                        Value* values) {
  if (shape.length == 1) return WeightCoder<Coder, Value, 1>(coder, models, shape).run(values);
  if (shape.length == 4) return WeightCoder<Coder, Value, 4>(coder, models, shape).run(values);
  if (shape.length == 9) return WeightCoder<Coder, Value, 9>(coder, models, shape).run(values);
  return WeightCoder<Coder, Value, 0>(coder, models, shape).run(values);
}

// Where weights lie that all have memory of their own.
template <class Value>
struct Arrays {
  Value* const* arrays;

  Value* begin(size_t i, const WeightShape&) { return arrays[i]; }
  void end(size_t, const WeightShape&) {}
};

// Memory for one weight at a time, all zeros when a weight begins.
class Scratch {
 public:
  explicit Scratch(const WeightSink& sink) : sink_(sink) {}

  void start_at(size_t first) { first_ = first; }

  int32_t* begin(size_t, const WeightShape& shape) {
    if (size_of(shape) > values_.size()) {
      values_ = {};  // The old memory goes before the new one comes.
      values_.resize(size_of(shape));
    }
    return values_.data();
  }

  void end(size_t i, const WeightShape& shape) {
    sink_(first_ + i, values_.data());
    std::fill_n(values_.begin(), size_of(shape), 0);
  }

  // After an error, when values may be left anywhere.
  void clear() { values_.clear(); }

 private:
  static size_t size_of(const WeightShape& s) { return size_t{s.filters} * s.slices * s.length; }

  const WeightSink& sink_;
  std::vector<int32_t> values_;
  size_t first_ = 0;  // Index of the stream's first weight.
};

template <class Coder, class Memory>
CodecStatus code_all(Coder& coder, const WeightShape* shapes, Memory& memory, size_t count) {
  std::array<std::unique_ptr<LatentModels>, kMaxModels> models;
  std::array<uint32_t, kMaxModels> lengths{};
  for (size_t i = 0; i < count; ++i) {
    const WeightShape& shape = shapes[i];
    if (!valid(shape)) return CodecStatus::kBadShape;
    std::unique_ptr<LatentModels>& mine = models[shape.model];
    if (!mine) {
      mine = std::make_unique<LatentModels>(shape.length);
      lengths[shape.model] = shape.length;
    }
    if (lengths[shape.model] != shape.length) return CodecStatus::kBadShape;
    const CodecStatus status = code_weight(coder, *mine, shape, memory.begin(i, shape));
    if (status != CodecStatus::kOk) return status;
    memory.end(i, shape);
  }
  return CodecStatus::kOk;
}

// Whether all values are within the limits and `nonzero` is the true count.
bool encodable(const WeightShape& shape, const int32_t* values) {
  const uint64_t slices = uint64_t{shape.filters} * shape.slices;
  uint64_t nonzero = 0;
  for (uint64_t s = 0; s < slices; ++s, values += shape.length) {
    bool any = false;
    for (uint32_t t = 0; t < shape.length; ++t) {
      if (values[t] > kMaxLatent || values[t] < -kMaxLatent) return false;
      any |= values[t] != 0;
    }
    nonzero += any;
  }
  return nonzero == shape.nonzero;
}

template <class Memory>
CodecStatus decode_into(const uint8_t* data, size_t size, const WeightShape* shapes, Memory& memory,
                        size_t count) {
  Decoder decoder(data, size);
  const CodecStatus status = code_all(decoder, shapes, memory, count);
  if (status != CodecStatus::kOk) return status;
  return decoder.at_end() ? CodecStatus::kOk : CodecStatus::kLeftover;
}

// Calls for each stream a function that each of up to `threads` threads makes for itself.
template <class MakeDecode>
std::vector<CodecStatus> share_streams(const std::vector<Stream>& streams, unsigned threads,
                                       const MakeDecode& make_decode) {
  std::vector<CodecStatus> statuses(streams.size(), CodecStatus::kOk);
  std::atomic<size_t> next{0};
  const auto work = [&] {
    auto decode = make_decode();
    for (size_t i; (i = next.fetch_add(1)) < streams.size();) {
      try {
        statuses[i] = decode(streams[i]);
      } catch (const std::bad_alloc&) {
        statuses[i] = CodecStatus::kNoMemory;
      }
    }
  };
  std::vector<std::thread> helpers;
  try {
    for (size_t i = 1; i < std::min<size_t>(threads, streams.size()); ++i)
      helpers.emplace_back(work);
  } catch (const std::system_error&) {
    // The system gives no more threads; those at hand do the work.
  }
  work();
  for (std::thread& helper : helpers) helper.join();
  return statuses;
}

}  // namespace

CodecStatus encode_latents(const WeightShape* shapes, const int32_t* const* latents, size_t count,
                           std::vector<uint8_t>& out) {
  for (size_t i = 0; i < count; ++i) {
    if (!valid(shapes[i])) return CodecStatus::kBadShape;
    if (!encodable(shapes[i], latents[i])) return CodecStatus::kBadValue;
  }
  std::vector<uint8_t> stream;
  Encoder encoder(stream);
  Arrays<const int32_t> arrays{latents};
  const CodecStatus status = code_all(encoder, shapes, arrays, count);
  if (status != CodecStatus::kOk) return status;
  encoder.finish();
  out.insert(out.end(), stream.begin(), stream.end());
  return CodecStatus::kOk;
}

CodecStatus decode_latents(const uint8_t* data, size_t size, const WeightShape* shapes,
                           int32_t* const* latents, size_t count) {
  Arrays<int32_t> arrays{latents};
  return decode_into(data, size, shapes, arrays, count);
}

std::vector<CodecStatus> decode_streams(const std::vector<Stream>& streams,
                                        const WeightShape* shapes, int32_t* const* latents,
                                        unsigned threads) {
  return share_streams(streams, threads, [&] {
    return [&](const Stream& s) {
      return decode_latents(s.data, s.size, shapes + s.first, latents + s.first, s.count);
    };
  });
}

std::vector<CodecStatus> decode_streams(const std::vector<Stream>& streams,
                                        const WeightShape* shapes, const WeightSink& sink,
                                        unsigned threads) {
  return share_streams(streams, threads, [&] {
    return [&, scratch = Scratch(sink)](const Stream& s) mutable {
      scratch.start_at(s.first);
      const CodecStatus status = decode_into(s.data, s.size, shapes + s.first, scratch, s.count);
      if (status != CodecStatus::kOk) scratch.clear();
      return status;
    };
  });
}

const char* describe(CodecStatus status) {
  switch (status) {
    case CodecStatus::kOk:
      return "nothing wrong";
    case CodecStatus::kBadShape:
      return "a shape, model or count outside the limits";
    case CodecStatus::kBadValue:
      return "an integer outside the limits or a wrong count of nonzero slices";
    case CodecStatus::kExhausted:
      return "a stream that ends before its integers do";
    case CodecStatus::kLeftover:
      return "a stream that does not end where its integers end";
    case CodecStatus::kTooLarge:
      return "a magnitude above the limit";
    case CodecStatus::kNoMemory:
      return "not enough memory to decode";
    case CodecStatus::kWrongCount:
      return "fewer nonzero slices than declared";
  }
  return "an unknown status";
}

}  // namespace lnx
