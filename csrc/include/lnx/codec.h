// The entropy codec of .lnx files. No Python, no framework: usable from any C++17 program.
//
// Coded bytes are specified in lilnetx/format/SPEC.md. All arithmetic is on integers, so every
// machine encodes and decodes the same bytes. The decoder is safe on any input: it reads nothing
// outside the bytes given, writes nothing outside the arrays given, and ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace lnx {

// CRC-32C (Castagnoli; reflected polynomial 0x82F63B78) of `size` bytes, continuing from `crc`.
uint32_t crc32c(const uint8_t* data, size_t size, uint32_t crc = 0);

constexpr int32_t kMaxLatent = 32767;            // Largest magnitude of a latent.
constexpr int32_t kMaxSideInteger = 8388607;     // Largest magnitude of a side integer: 2^23 - 1.
constexpr uint32_t kMaxSliceLength = 256;        // Integers in a slice.
constexpr uint32_t kMaxModels = 256;             // Sets of adaptive models in a stream.
constexpr uint64_t kMaxWeightLatents = 1 << 28;  // Integers in one weight.

// One weight tensor of `filters` x `slices` x `length` integers, in C order.
struct WeightShape {
  uint32_t filters;  // F
  uint32_t slices;   // S: slices of a filter
  uint32_t length;   // n: integers in a slice
  uint32_t model;    // Which set of adaptive models codes it, below kMaxModels.
  uint64_t nonzero;  // Slices with an integer other than zero.
};

enum class CodecStatus {
  kOk,
  kBadShape,    // A dimension, model or count is outside the limits above.
  kBadValue,    // Encoder: a value is too large, or `nonzero` is not the true count.
  kExhausted,   // Decoder: the integers ask for more bytes than there are.
  kLeftover,    // Decoder: the stream does not end where its integers end.
  kTooLarge,    // Decoder: a magnitude is above the limit.
  kWrongCount,  // Decoder: fewer nonzero slices than declared.
  kNoMemory,    // Decoder: the adaptive state did not fit into memory.
};

// What a status means, as half a sentence.
const char* describe(CodecStatus status);

// Encodes `count` weights into one stream, appended to `out`; on an error `out` is as it was.
CodecStatus encode_latents(const WeightShape* shapes, const int32_t* const* latents, size_t count,
                           std::vector<uint8_t>& out);

// Decodes one stream. `latents[i]` has room for weight i and MUST be filled with zeros: only
// nonzero slices are written. On an error the arrays hold unspecified values.
CodecStatus decode_latents(const uint8_t* data, size_t size, const WeightShape* shapes,
                           int32_t* const* latents, size_t count);

// A stream and the weights that it holds.
struct Stream {
  const uint8_t* data;
  size_t size;
  size_t first;  // Index of its first weight.
  size_t count;  // Number of its weights.
};

// Decodes many streams with up to `threads` threads; returns one status for each stream.
std::vector<CodecStatus> decode_streams(const std::vector<Stream>& streams,
                                        const WeightShape* shapes, int32_t* const* latents,
                                        unsigned threads);

// Takes weight `index` [filters][slices][length] from the thread that decoded it. The memory is
// used again for the next weight.
using WeightSink = std::function<void(size_t index, const int32_t* latents)>;

// The same, without memory for more than one weight a thread: each goes to `sink` when it is
// decoded, before its stream has been checked to the end. std::bad_alloc from the sink becomes
// kNoMemory; it must throw nothing else.
std::vector<CodecStatus> decode_streams(const std::vector<Stream>& streams,
                                        const WeightShape* shapes, const WeightSink& sink,
                                        unsigned threads);

// For each of `filters` filters of `size` integers: 1 if one of them is not zero, otherwise 0.
void live_filters(const int32_t* latents, size_t filters, size_t size, uint8_t* live);

// A vector of side integers.
struct IntVector {
  int32_t* values;
  size_t size;
  uint32_t kind;        // 0: scale, 1: bias, 2: matrix, 3: other numbers.
  const uint8_t* live;  // 0 where a value belongs to a filter of zeros, otherwise 1; null: all 1.
};

// Encodes vectors of integers into one stream, appended to `out`; does not change the values.
CodecStatus encode_ints(const std::vector<IntVector>& vectors, std::vector<uint8_t>& out);

// Decodes one stream into the vectors.
CodecStatus decode_ints(const uint8_t* data, size_t size, const std::vector<IntVector>& vectors);

// Encodes bytes that describe a network (its graph, its metadata) into one stream, appended to
// `out`.
void encode_text(const uint8_t* data, size_t size, std::vector<uint8_t>& out);

// Decodes one stream of `count` bytes, appended to `out`. It takes memory as it decodes: 1.3 MB,
// and at most about 500 bytes for each byte of the stream.
CodecStatus decode_text(const uint8_t* data, size_t size, size_t count, std::vector<uint8_t>& out);

}  // namespace lnx
