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

template <class Coder, class Value>
CodecStatus code_all(Coder& coder, const WeightShape* shapes, Value* const* values, size_t count) {
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
    const CodecStatus status = code_weight(coder, *mine, shape, values[i]);
    if (status != CodecStatus::kOk) return status;
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

}  // namespace

CodecStatus encode_latents(const WeightShape* shapes, const int32_t* const* latents, size_t count,
                           std::vector<uint8_t>& out) {
  for (size_t i = 0; i < count; ++i) {
    if (!valid(shapes[i])) return CodecStatus::kBadShape;
    if (!encodable(shapes[i], latents[i])) return CodecStatus::kBadValue;
  }
  std::vector<uint8_t> stream;
  Encoder encoder(stream);
  const CodecStatus status = code_all<Encoder, const int32_t>(encoder, shapes, latents, count);
  if (status != CodecStatus::kOk) return status;
  encoder.finish();
  out.insert(out.end(), stream.begin(), stream.end());
  return CodecStatus::kOk;
}

CodecStatus decode_latents(const uint8_t* data, size_t size, const WeightShape* shapes,
                           int32_t* const* latents, size_t count) {
  Decoder decoder(data, size);
  const CodecStatus status = code_all<Decoder, int32_t>(decoder, shapes, latents, count);
  if (status != CodecStatus::kOk) return status;
  return decoder.at_end() ? CodecStatus::kOk : CodecStatus::kLeftover;
}

std::vector<CodecStatus> decode_streams(const std::vector<Stream>& streams,
                                        const WeightShape* shapes, int32_t* const* latents,
                                        unsigned threads) {
  std::vector<CodecStatus> statuses(streams.size(), CodecStatus::kOk);
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i; (i = next.fetch_add(1)) < streams.size();) {
      const Stream& stream = streams[i];
      try {
        statuses[i] = decode_latents(stream.data, stream.size, shapes + stream.first,
                                     latents + stream.first, stream.count);
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
