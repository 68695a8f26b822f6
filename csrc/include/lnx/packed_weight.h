// A weight tensor between the file and the kernels: its nonzero slices, as the file holds them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "lnx/packed_slices.h"

namespace lnx {

// Turns an integer slice into weights: (latents x matrix) * 2^-exponent, rounded once to float.
struct SliceDecoder {
  std::vector<int32_t> matrix;  // [length][length], entries within int16
  int exponent;                 // -126 to 126
};

// The nonzero slices of one weight tensor, as integers with their decoder or as floats. Takes
// less memory than decoded slices, so that a whole network may wait in this form until its
// plan is made. Immutable.
class PackedWeight {
 public:
  // latents [filters][slices][length], magnitudes at most 32767. `reserve` is the number of nonzero
  // slices where it is known, else 0. std::invalid_argument: the shape is empty, or the decoder
  // does not fit.
  PackedWeight(const SliceShape& shape, const int32_t* latents,
               std::shared_ptr<const SliceDecoder> decoder, uint64_t reserve = 0);

  // Float weights [filters][slices][length].
  PackedWeight(const SliceShape& shape, const float* weights);

  const SliceShape& shape() const { return shape_; }
  // Nonzero slices.
  uint32_t slices() const { return filter_ptr_.back(); }
  bool live(int64_t filter) const { return filter_ptr_[filter + 1] > filter_ptr_[filter]; }
  // The integers [slices()][length], and what decodes them; empty and null where the weights are
  // floats.
  const std::vector<int16_t>& latents() const { return latents_; }
  const SliceDecoder* decoder() const { return decoder_.get(); }
  // Bytes that this object holds.
  size_t bytes() const;

  // Weights that kernels multiply: all of each nonzero slice, but of pointwise slices only those
  // that are not zero. `scale` as for `unpack`.
  int64_t computed_weights(const float* scale) const;

  // Decodes filters first up to last. Each filter's weights are multiplied by scale[filter], unless
  // scale is null. Channels count over all groups; out.filter_ptr begins with 0. Memory of `out` is
  // reused. Equal bit for bit to decoding the whole tensor and leaving the zero slices out.
  // std::invalid_argument: groups do not divide filters and channels.
  void unpack(int64_t first, int64_t last, const float* scale, PackedSlices& out) const;

  // Fills codes and unit of all filters, unpacked with this scale; leaves them empty where weights
  // are not single integers of one byte.
  void unpack_codes(const float* scale, PackedSlices& out) const;

  // For each channel, all groups together, 1 if a slice of a filter with filters[f] != 0 reads it.
  // A filter whose scale is zero reads nothing.
  std::vector<uint8_t> reads(const uint8_t* filters, const float* scale) const;

  // What inputs of known constants give: sums[f] is the sum of each such channel's constant times
  // its weights; rest[f] is 1 if the filter reads other channels too. constants [channels], NaN for
  // what is not known.
  void fold(const double* constants, const float* scale, double* sums, uint8_t* rest) const;

  // The weight without the filters and channels that are 0 in the masks, and without slices that
  // read channels which are 0 in `read`. Pointwise slices that would lose some of their channels
  // become single floats. With several groups either there are as many as channels and filters and
  // both masks are the same, or the masks keep everything.
  PackedWeight restrict(const uint8_t* filters, const uint8_t* channels, const uint8_t* read) const;

 private:
  explicit PackedWeight(const SliceShape& shape) : shape_(shape) {}
  void push_index(int64_t index);
  template <typename T, typename Stored>
  void gather(const T* slices, std::vector<Stored>& stored, uint64_t reserve);
  template <int Length>
  void decode(uint32_t first, uint32_t last, float* out) const;
  uint32_t slice_index(uint32_t k) const { return near_.empty() ? far_[k] : near_[k]; }
  bool pointwise() const { return shape_.channels_per_slice > 1 || shape_.length == 1; }

  static constexpr int64_t kNearSlices = 1 << 16;

  SliceShape shape_;
  std::shared_ptr<const SliceDecoder> decoder_;  // null for floats
  std::vector<uint32_t> filter_ptr_;             // filters + 1
  std::vector<uint16_t> near_;                   // index of each slice within its filter
  std::vector<uint32_t> far_;                    // the same, where there are more than 2^16
  std::vector<int16_t> latents_;
  std::vector<float> values_;
};

}  // namespace lnx
