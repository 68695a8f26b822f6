// Decodes streams of the codec, compares with the integers that they were made of, and encodes them
// again.
#include <algorithm>

#include "checks.h"
#include "lnx/codec.h"

namespace lnx_test {
namespace {

std::string differs(const std::vector<int32_t>& decoded, const std::vector<int32_t>& expected) {
  const auto at = std::mismatch(decoded.begin(), decoded.end(), expected.begin());
  if (at.first == decoded.end()) return "";
  return "integer " + std::to_string(at.first - decoded.begin()) + " is " +
         std::to_string(*at.first) + ", expected " + std::to_string(*at.second);
}

}  // namespace

std::string check_latents(CaseReader& reader) {
  const std::vector<uint8_t> data = reader.bytes();
  const auto crc = static_cast<uint32_t>(reader.integer());
  std::vector<lnx::WeightShape> shapes(static_cast<size_t>(reader.integer()));
  std::vector<std::vector<int32_t>> expected, decoded;
  for (lnx::WeightShape& shape : shapes) {
    shape.filters = static_cast<uint32_t>(reader.integer());
    shape.slices = static_cast<uint32_t>(reader.integer());
    shape.length = static_cast<uint32_t>(reader.integer());
    shape.model = static_cast<uint32_t>(reader.integer());
    shape.nonzero = static_cast<uint64_t>(reader.integer());
    expected.push_back(reader.integers<int32_t>());
    decoded.emplace_back(expected.back().size(), 0);
  }
  if (lnx::crc32c(data.data(), data.size()) != crc) return "another CRC-32C";
  std::vector<int32_t*> into;
  for (auto& values : decoded) into.push_back(values.data());
  const lnx::CodecStatus status =
      lnx::decode_latents(data.data(), data.size(), shapes.data(), into.data(), shapes.size());
  if (status != lnx::CodecStatus::kOk) return lnx::describe(status);
  for (size_t i = 0; i < shapes.size(); ++i) {
    const std::string wrong = differs(decoded[i], expected[i]);
    if (!wrong.empty()) return "weight " + std::to_string(i) + ": " + wrong;
  }
  std::vector<uint8_t> again;
  if (lnx::encode_latents(shapes.data(), into.data(), shapes.size(), again) !=
          lnx::CodecStatus::kOk ||
      again != data)
    return "encoding gives other bytes";
  return "";
}

std::string check_integers(CaseReader& reader) {
  const std::vector<uint8_t> data = reader.bytes();
  const auto count = static_cast<size_t>(reader.integer());
  std::vector<std::vector<int32_t>> expected, decoded;
  std::vector<std::vector<uint8_t>> live;
  std::vector<uint32_t> kinds;
  for (size_t i = 0; i < count; ++i) {
    kinds.push_back(static_cast<uint32_t>(reader.integer()));
    live.push_back(reader.bytes());
    expected.push_back(reader.integers<int32_t>());
    decoded.emplace_back(expected.back().size(), 0);
  }
  std::vector<lnx::IntVector> vectors;
  for (size_t i = 0; i < count; ++i)
    vectors.push_back({decoded[i].data(), decoded[i].size(), kinds[i],
                       live[i].empty() ? nullptr : live[i].data()});
  const lnx::CodecStatus status = lnx::decode_ints(data.data(), data.size(), vectors);
  if (status != lnx::CodecStatus::kOk) return lnx::describe(status);
  for (size_t i = 0; i < count; ++i) {
    const std::string wrong = differs(decoded[i], expected[i]);
    if (!wrong.empty()) return "vector " + std::to_string(i) + ": " + wrong;
  }
  std::vector<uint8_t> again;
  if (lnx::encode_ints(vectors, again) != lnx::CodecStatus::kOk || again != data)
    return "encoding gives other bytes";
  return "";
}

std::string check_text(CaseReader& reader) {
  const std::vector<uint8_t> data = reader.bytes();
  const std::vector<uint8_t> expected = reader.bytes();
  std::vector<uint8_t> decoded;
  const lnx::CodecStatus status =
      lnx::decode_text(data.data(), data.size(), expected.size(), decoded);
  if (status != lnx::CodecStatus::kOk) return lnx::describe(status);
  if (decoded != expected) return "other bytes";
  std::vector<uint8_t> again;
  lnx::encode_text(decoded.data(), decoded.size(), again);
  return again == data ? "" : "encoding gives other bytes";
}

}  // namespace lnx_test
