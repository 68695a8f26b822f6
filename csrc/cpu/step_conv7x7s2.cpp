// The step of the Winograd kernel for 7x7 convolutions with stride 2: its weights, and its memory.
#include <algorithm>
#include <array>

#include "cpu/aligned_buffer.h"
#include "cpu/step.h"

namespace lnx {
namespace {

constexpr int kPoints = 5;
// Of each point the transformed odd and even columns that it multiplies; at 2 there are no even
// ones.
constexpr int kSources[kPoints][2] = {{0, 5}, {1, 6}, {2, 7}, {3, -1}, {4, 8}};
constexpr int64_t kBandBytes = 256 * 1024;  // of transformed rows, and as much again in the cache

// What the weights under odd columns (g[0], g[2], g[4], g[6]) or even ones (the others) become at a
// point.
double at_point(const float* g, int point, bool evens) {
  const std::array<double, 4> w = {g[evens], g[2 + evens], g[4 + evens], evens ? 0.0 : g[6]};
  const double even_terms = w[0] + w[2], odd_terms = w[1] + w[3];
  switch (point) {
    case 0:
      return evens ? -w[0] : w[0] / 2;
    case 1:
      return (even_terms + odd_terms) / (evens ? 2 : -2);
    case 2:
      return (even_terms - odd_terms) / (evens ? 2 : -6);
    case 3:
      return (w[0] + 2 * w[1] + 4 * w[2] + 8 * w[3]) / 6;
    default:
      return evens ? w[2] : w[3];
  }
}

class Conv7x7s2Step : public Step {
 public:
  Conv7x7s2Step(const KernelTable& kernels, int threads, const ConvSpec& spec,
                const PackedSlices& slices)
      : kernels_(kernels), spec_(spec), channels_(spec.in.channels), width_(spec.out.width) {
    const int64_t row_bytes = int64_t{4} * channels_ * 4 * kWinograd7x7Rows * width_;
    double_rows_ = spec.out.height / 2;
    band_ = static_cast<int>(
        std::clamp<int64_t>(kBandBytes / row_bytes - 1, 1, std::max(double_rows_, 1)));
    bands_ = (double_rows_ + band_ - 1) / band_;
    // A row's last vector may reach a vector past its end.
    plane_stride_ = int64_t{band_ + 1} * width_ + 16;
    pack(slices);
    const int64_t planes = channels_ * 4 * kWinograd7x7Rows * plane_stride_;
    const int64_t row = int64_t{2} * width_ + 128;
    const int64_t sums = int64_t{kPoints} * kWinograd7x7Filters * kWinograd7x7Vectors * 16;
    for (int i = 0; i < threads; ++i)
      memory_.push_back(
          {AlignedBuffer<float>(row), AlignedBuffer<float>(planes), AlignedBuffer<float>(sums)});
  }

  void run(const Frame& frame) const override {
    Winograd7x7Args a{};
    a.in = frame.arena + spec_.in.offset;
    a.in_stride = spec_.in.channel_stride;
    a.in_height = spec_.in.height;
    a.in_width = spec_.in.width;
    a.in_row_stride = spec_.in.row_stride;
    a.channels = channels_;
    a.plane_stride = plane_stride_;
    a.taps = taps_.data();
    a.counts = counts_.data();
    a.weights = weights_.data();
    a.filters = spec_.out.channels;
    a.width = width_;
    a.out = frame.arena + spec_.out.offset;
    a.out_stride = spec_.out.channel_stride;
    a.residual = spec_.has_residual ? frame.arena + spec_.residual.offset : nullptr;
    a.bias = spec_.bias.data();
    a.activation = spec_.activation;
    frame.split(bands_, frame.pool ? bands_ : 1, [&](int begin, int end, int member) {
      Winograd7x7Args mine = a;
      mine.row = memory_[member].row.data();
      mine.planes = memory_[member].planes.data();
      mine.sums = memory_[member].sums.data();
      for (int i = begin; i < end; ++i)
        kernels_.conv_winograd7x7s2(mine, i * band_, std::min((i + 1) * band_, double_rows_));
    });
  }

  int64_t weight_bytes() const override {
    return static_cast<int64_t>(4 * (weights_.size() + taps_.size()));
  }

 private:
  struct Memory {
    AlignedBuffer<float> row, planes, sums;
  };

  // Calls fn(channel, row of taps, transformed row, whether of even columns) for all terms of a
  // point's sums.
  template <typename Fn>
  void for_each_term(int point, Fn fn) const {
    for (int c = 0; c < channels_; ++c)
      for (int ky = 0; ky < 7; ++ky)
        for (int evens = 0; evens < 2; ++evens)
          if (kSources[point][evens] >= 0) fn(c, ky, kSources[point][evens], evens != 0);
  }

  // Weights by block of filters, by point, by term; slices that are left out are zeros.
  void pack(const PackedSlices& slices) {
    const int filters = spec_.out.channels;
    std::vector<float> dense(static_cast<size_t>(filters) * channels_ * 49, 0.0f);
    for (int f = 0; f < filters; ++f)
      for (uint32_t k = slices.filter_ptr[f]; k < slices.filter_ptr[f + 1]; ++k)
        std::copy_n(&slices.values[size_t{k} * 49], 49,
                    &dense[(static_cast<size_t>(f) * channels_ + slices.channel[k]) * 49]);
    for (int point = 0; point < kPoints; ++point)
      for_each_term(point, [&](int c, int ky, int source, bool) {
        // The first of the two rows is 4q + ky - 3; planes begin with those of the band before.
        const int64_t plane = (int64_t{c} * kWinograd7x7Rows + source) * 4 + (ky + 1) % 4;
        taps_.push_back(static_cast<int32_t>(plane * plane_stride_ + (ky < 3 ? 0 : width_)));
        ++counts_[point];
      });
    const size_t blocks = (filters + kWinograd7x7Filters - 1) / kWinograd7x7Filters;
    weights_ = AlignedBuffer<float>(blocks * taps_.size() * kWinograd7x7Filters);
    float* out = weights_.data();
    for (int first = 0; first < filters; first += kWinograd7x7Filters)
      for (int point = 0; point < kPoints; ++point)
        for_each_term(point, [&](int c, int ky, int, bool evens) {
          for (int f = first; f < first + kWinograd7x7Filters; ++f, ++out)
            if (f < filters)
              *out = static_cast<float>(at_point(
                  &dense[(static_cast<size_t>(f) * channels_ + c) * 49 + ky * 7], point, evens));
        });
  }

  const KernelTable& kernels_;
  const ConvSpec spec_;
  const int channels_, width_;
  int double_rows_, band_, bands_;
  int64_t plane_stride_;
  std::vector<int32_t> taps_;
  std::array<int, kPoints> counts_{};
  AlignedBuffer<float> weights_;
  mutable std::vector<Memory> memory_;  // of each thread
};

}  // namespace

std::unique_ptr<Step> make_conv7x7s2_step(const KernelTable& kernels, int threads,
                                          const ConvSpec& spec, const PackedSlices& slices) {
  return std::make_unique<Conv7x7s2Step>(kernels, threads, spec, slices);
}

}  // namespace lnx
