#include "lnx/packed_weight.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

namespace lnx {
namespace {

void check(const SliceShape& s) {
  if (s.filters < 1 || s.slices < 1 || s.length < 1)
    throw std::invalid_argument("a weight has at least one filter, slice and tap");
  if (s.filters * s.slices > int64_t{UINT32_MAX}) throw std::length_error("more than 2^32 slices");
}

void check_groups(const SliceShape& s) {
  if (s.groups < 1 || s.filters % s.groups || s.channels % s.groups)
    throw std::invalid_argument("groups must divide filters and channels");
}

// Appends the slices of one filter that are not zero; without branches, since which are is chance.
template <typename T, typename Index, typename Stored>
size_t gather_filter(const T* slices, int64_t count, int length, Index* index, Stored* stored) {
  size_t found = 0;
  if (length == 1) {
    for (int64_t s = 0; s < count; ++s) {
      index[found] = static_cast<Index>(s);
      stored[found] = static_cast<Stored>(slices[s]);
      found += slices[s] != 0;
    }
    return found;
  }
  for (int64_t s = 0; s < count; ++s, slices += length) {
    bool any = false;
    for (int i = 0; i < length; ++i) any |= slices[i] != 0;
    if (!any) continue;
    index[found] = static_cast<Index>(s);
    for (int i = 0; i < length; ++i) stored[found * length + i] = static_cast<Stored>(slices[i]);
    ++found;
  }
  return found;
}

}  // namespace

template <typename T, typename Stored>
void PackedWeight::gather(const T* slices, std::vector<Stored>& stored, uint64_t reserve) {
  check(shape_);
  const size_t length = shape_.length;
  const bool is_near = shape_.slices <= kNearSlices;
  filter_ptr_.reserve(shape_.filters + 1);
  filter_ptr_.push_back(0);
  near_.reserve(is_near ? reserve : 0);
  far_.reserve(is_near ? 0 : reserve);
  stored.reserve(reserve * length);
  // One filter at a time, into memory for all its slices.
  std::vector<uint16_t> near(is_near ? shape_.slices : 0);
  std::vector<uint32_t> far(is_near ? 0 : shape_.slices);
  std::vector<Stored> row(shape_.slices * length);
  for (int64_t f = 0; f < shape_.filters; ++f, slices += shape_.slices * length) {
    size_t found;
    if (is_near) {
      found = gather_filter(slices, shape_.slices, shape_.length, near.data(), row.data());
      near_.insert(near_.end(), near.begin(), near.begin() + found);
    } else {
      found = gather_filter(slices, shape_.slices, shape_.length, far.data(), row.data());
      far_.insert(far_.end(), far.begin(), far.begin() + found);
    }
    stored.insert(stored.end(), row.begin(), row.begin() + found * length);
    filter_ptr_.push_back(filter_ptr_.back() + static_cast<uint32_t>(found));
  }
  near_.shrink_to_fit();
  far_.shrink_to_fit();
  stored.shrink_to_fit();
}

PackedWeight::PackedWeight(const SliceShape& shape, const int32_t* latents,
                           std::shared_ptr<const SliceDecoder> decoder, uint64_t reserve)
    : shape_(shape), decoder_(std::move(decoder)) {
  if (decoder_->matrix.size() != static_cast<size_t>(shape.length) * shape.length)
    throw std::invalid_argument("the decoder's matrix must have shape (n, n)");
  gather(latents, latents_, reserve);
}

PackedWeight::PackedWeight(const SliceShape& shape, const float* weights) : shape_(shape) {
  gather(weights, values_, 0);
}

size_t PackedWeight::bytes() const {
  return filter_ptr_.size() * 4 + near_.size() * 2 + far_.size() * 4 + latents_.size() * 2 +
         values_.size() * 4;
}

int64_t PackedWeight::computed_weights(const float* scale) const {
  check_groups(shape_);
  if (!pointwise()) return int64_t{slices()} * shape_.length;
  int64_t count = 0;
  PackedSlices row;
  for (int64_t f = 0; f < shape_.filters; ++f) {
    if (scale && scale[f] == 0.0f) continue;
    if (shape_.length == 1) {
      const bool zero = decoder_ && decoder_->matrix[0] == 0;
      count += zero ? 0 : filter_ptr_[f + 1] - filter_ptr_[f];
      continue;
    }
    unpack(f, f + 1, scale, row);
    const int64_t group_channels = shape_.channels / shape_.groups;
    const int64_t end = (f / (shape_.filters / shape_.groups) + 1) * group_channels;
    for (size_t k = 0; k < row.channel.size(); ++k)
      for (int i = 0; i < shape_.length && row.channel[k] + i < end; ++i)
        count += row.values[k * shape_.length + i] != 0.0f;
  }
  return count;
}

// Sums of integer products are exact in double (below 2^53), so there is one rounding, to float;
// the factor 2^-exponent is exact. Length is 0 where it is only known at run time.
template <int Length>
void PackedWeight::decode(uint32_t first, uint32_t last, float* out) const {
  const int n = Length ? Length : shape_.length;
  const float unit = std::ldexp(1.0f, -decoder_->exponent);
  const std::vector<double> matrix(decoder_->matrix.begin(), decoder_->matrix.end());
  const int16_t* slice = &latents_[static_cast<size_t>(first) * n];
  double fixed[Length ? Length : 1];
  std::vector<double> free(Length ? 0 : n);
  double* sums = Length ? fixed : free.data();
  for (uint32_t k = first; k < last; ++k, slice += n, out += n) {
    std::fill(sums, sums + n, 0.0);
    for (int i = 0; i < n; ++i) {
      const double latent = slice[i];
      for (int j = 0; j < n; ++j) sums[j] += latent * matrix[static_cast<size_t>(i) * n + j];
    }
    for (int j = 0; j < n; ++j) out[j] = static_cast<float>(sums[j]) * unit;
  }
}

void PackedWeight::unpack(int64_t first, int64_t last, const float* scale,
                          PackedSlices& out) const {
  check_groups(shape_);
  const uint32_t begin = filter_ptr_[first], end = filter_ptr_[last];
  const size_t length = shape_.length;
  out.filter_ptr.clear();
  for (int64_t f = first; f <= last; ++f) out.filter_ptr.push_back(filter_ptr_[f] - begin);
  out.channel.resize(end - begin);
  out.values.resize((end - begin) * length);
  if (begin == end) return;
  if (!decoder_) {
    std::copy(&values_[begin * length], &values_[begin * length] + out.values.size(),
              out.values.data());
  } else if (length == 1) {
    decode<1>(begin, end, out.values.data());
  } else if (length == 4) {
    decode<4>(begin, end, out.values.data());
  } else if (length == 9) {
    decode<9>(begin, end, out.values.data());
  } else {
    decode<0>(begin, end, out.values.data());
  }
  const int64_t group_filters = shape_.filters / shape_.groups;
  const int64_t group_channels = shape_.channels / shape_.groups;
  for (int64_t f = first; f < last; ++f) {
    const int64_t channel = f / group_filters * group_channels;
    for (uint32_t k = filter_ptr_[f] - begin; k < filter_ptr_[f + 1] - begin; ++k) {
      out.channel[k] =
          static_cast<uint32_t>(channel + slice_index(begin + k) * shape_.channels_per_slice);
      if (scale)
        for (size_t i = 0; i < length; ++i) out.values[k * length + i] *= scale[f];
    }
  }
}

void PackedWeight::unpack_codes(const float* scale, PackedSlices& out) const {
  out.codes.clear();
  out.unit.clear();
  const auto fits = [](int16_t latent) { return latent >= -127 && latent <= 127; };
  if (!decoder_ || shape_.length != 1 || !std::all_of(latents_.begin(), latents_.end(), fits))
    return;
  const float step = std::ldexp(static_cast<float>(decoder_->matrix[0]), -decoder_->exponent);
  for (const int16_t latent : latents_) out.codes.push_back(static_cast<int8_t>(latent));
  for (int64_t f = 0; f < shape_.filters; ++f) out.unit.push_back(scale ? step * scale[f] : step);
}

}  // namespace lnx
