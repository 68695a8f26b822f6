#include <cmath>
#include <stdexcept>

#include "lnx/packed_slices.h"

namespace lnx {
namespace {

// Calls emit(filter, slice pointer, values) for each nonzero slice; emit appends the weights.
template <typename T, typename Emit>
PackedSlices pack(const SliceShape& shape, const T* slices, Emit emit) {
  const int n = shape.length;
  if (shape.filters % shape.groups || shape.channels % shape.groups)
    throw std::invalid_argument("groups must divide filters and channels");
  const int64_t filters_per_group = shape.filters / shape.groups;
  const int64_t channels_per_group = shape.channels / shape.groups;
  PackedSlices packed;
  packed.filter_ptr.reserve(shape.filters + 1);
  packed.filter_ptr.push_back(0);
  const T* slice = slices;
  for (int64_t f = 0; f < shape.filters; ++f) {
    const int64_t first_channel = f / filters_per_group * channels_per_group;
    for (int64_t s = 0; s < shape.slices; ++s, slice += n) {
      bool zero = true;
      for (int i = 0; i < n; ++i) zero &= slice[i] == 0;
      if (zero) continue;
      packed.channel.push_back(static_cast<uint32_t>(first_channel + s * shape.channels_per_slice));
      emit(f, slice, packed.values);
    }
    if (packed.channel.size() > UINT32_MAX) throw std::length_error("more than 2^32 slices");
    packed.filter_ptr.push_back(static_cast<uint32_t>(packed.channel.size()));
  }
  return packed;
}

}  // namespace

PackedSlices pack_latents(const SliceShape& shape, const int32_t* latents, const int32_t* matrix,
                          int exponent, const float* scale) {
  const int n = shape.length;
  return pack(shape, latents, [=](int64_t f, const int32_t* slice, std::vector<float>& values) {
    for (int j = 0; j < n; ++j) {
      int64_t exact = 0;
      for (int i = 0; i < n; ++i)
        exact += static_cast<int64_t>(slice[i]) * matrix[static_cast<int64_t>(i) * n + j];
      const float weight = std::ldexp(static_cast<float>(exact), -exponent);
      values.push_back(scale ? weight * scale[f] : weight);
    }
  });
}

PackedSlices pack_dense(const SliceShape& shape, const float* weights, const float* scale) {
  const int n = shape.length;
  return pack(shape, weights, [=](int64_t f, const float* slice, std::vector<float>& values) {
    for (int i = 0; i < n; ++i) values.push_back(scale ? slice[i] * scale[f] : slice[i]);
  });
}

}  // namespace lnx
