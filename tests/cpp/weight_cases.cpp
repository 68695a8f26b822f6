// Decodes latents to weights, and compares with the floats that another machine got, bit for bit.
#include <cstring>
#include <memory>

#include "checks.h"
#include "lnx/packed_weight.h"

namespace lnx_test {

lnx::SliceShape read_slice_shape(CaseReader& r) {
  lnx::SliceShape shape{};
  shape.filters = r.integer();
  shape.slices = r.integer();
  shape.length = static_cast<int>(r.integer());
  shape.channels_per_slice = r.integer();
  shape.groups = r.integer();
  shape.channels = r.integer();
  return shape;
}

std::string check_weight(CaseReader& reader) {
  const lnx::SliceShape shape = read_slice_shape(reader);
  const std::vector<int32_t> latents = reader.integers<int32_t>();
  lnx::SliceDecoder decoder{reader.integers<int32_t>(), 0};
  decoder.exponent = static_cast<int>(reader.integer());
  const std::vector<float> scale = reader.reals();
  const std::vector<uint32_t> filter_ptr = reader.integers<uint32_t>();
  const std::vector<uint32_t> channel = reader.integers<uint32_t>();
  const std::vector<float> values = reader.reals();
  const lnx::PackedWeight weight(shape, latents.data(),
                                 std::make_shared<lnx::SliceDecoder>(decoder));
  lnx::PackedSlices slices;
  weight.unpack(0, shape.filters, scale.empty() ? nullptr : scale.data(), slices);
  if (slices.filter_ptr != filter_ptr || slices.channel != channel) return "other slices";
  if (slices.values.size() != values.size()) return "more or fewer values";
  const size_t size = values.size() * sizeof(float);
  return std::memcmp(slices.values.data(), values.data(), size) == 0 ? "" : "other values";
}

}  // namespace lnx_test
