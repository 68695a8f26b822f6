// Transposed convolution: taps add shifted input rows to planes, one for each remainder of the
// output's row and column by the stride, so that all of it is additions of whole rows.
#include <algorithm>
#include <cstring>

#include "cpu/aligned_buffer.h"
#include "cpu/step.h"

namespace lnx {
namespace {

int floor_div(int a, int b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

// Where a tap takes pixel i of the input, along one axis: to pixel i + shift of plane `phase`.
// Pixels first up to last end up inside the output.
struct TapAxis {
  int phase, shift, first, last;

  TapAxis(int tap, int stride, int padding, int dilation, int in, int out) {
    const int at = tap * dilation - padding;
    shift = floor_div(at, stride);
    phase = at - shift * stride;
    const int pixels = phase < out ? (out - phase + stride - 1) / stride : 0;
    first = std::max(0, -shift);
    last = std::min(in, pixels - shift);
  }
};

class ConvTransposeStep : public Step {
 public:
  ConvTransposeStep(const KernelTable& kernels, int threads, const ConvTransposeSpec& spec,
                    const SliceShape& shape, const PackedSlices& packed)
      : kernels_(kernels), spec_(spec) {
    const Window& w = spec.window;
    for (int i = 0; i < w.kernel_h; ++i)
      rows_.emplace_back(i, w.stride_h, w.padding_h, w.dilation_h, spec.in.height, spec.out.height);
    for (int i = 0; i < w.kernel_w; ++i)
      columns_.emplace_back(i, w.stride_w, w.padding_w, w.dilation_w, spec.in.width,
                            spec.out.width);
    plane_width_ = (spec.out.width + w.stride_w - 1) / w.stride_w;
    plane_height_ = (spec.out.height + w.stride_h - 1) / w.stride_h;
    plane_ = int64_t{plane_width_} * plane_height_;
    filter_floats_ = plane_ * w.stride_h * w.stride_w;
    buffers_ = AlignedBuffer<float>(filter_floats_ * threads);
    // Slices of 1x1 layers run over input channels: here every channel is one of its own.
    const int taps = w.kernel_h * w.kernel_w;
    ptr_.push_back(0);
    for (int64_t f = 0; f < shape.filters; ++f) {
      const int64_t group = f / (shape.filters / shape.groups);
      const int64_t end = (group + 1) * (shape.channels / shape.groups);
      for (uint32_t k = packed.filter_ptr[f]; k < packed.filter_ptr[f + 1]; ++k) {
        const int channels = taps == 1 ? shape.length : 1;
        for (int i = 0; i < channels; ++i) {
          const int64_t channel = int64_t{packed.channel[k]} + i;
          if (channel >= end) break;
          channel_.push_back(static_cast<int32_t>(channel));
          const float* values = &packed.values[int64_t{k} * shape.length + i];
          values_.insert(values_.end(), values, values + taps);
        }
      }
      ptr_.push_back(channel_.size());
    }
  }

  void run(const Frame& frame) const override {
    const Image& out = spec_.out;
    const int64_t traffic =
        2 * filter_floats_ * (1 + static_cast<int64_t>(values_.size()) / std::max(1, out.channels));
    frame.split(
        out.channels, frame.parts(out.channels, traffic), [&](int begin, int end, int member) {
          float* planes = buffers_.data() + member * filter_floats_;
          for (int f = begin; f < end; ++f) {
            std::fill_n(planes, filter_floats_, spec_.bias[f]);
            for (size_t k = ptr_[f]; k < ptr_[f + 1]; ++k)
              add_slice(frame.arena + spec_.in.offset + channel_[k] * spec_.in.channel_stride,
                        &values_[k * rows_.size() * columns_.size()], planes);
            interleave(planes, frame.arena + out.offset + f * out.channel_stride);
          }
        });
  }

  int64_t weight_bytes() const override {
    return static_cast<int64_t>(4 * (values_.size() + channel_.size()) + 8 * ptr_.size());
  }

 private:
  void add_slice(const float* in, const float* values, float* planes) const {
    for (const TapAxis& row : rows_)
      for (const TapAxis& column : columns_) {
        const float w = *values++;
        const int count = column.last - column.first;
        if (w == 0.0f || count <= 0) continue;
        float* plane = planes + (row.phase * spec_.window.stride_w + column.phase) * plane_ +
                       column.first + column.shift;
        for (int y = row.first; y < row.last; ++y)
          kernels_.row_axpy(in + int64_t{y} * spec_.in.row_stride + column.first, w,
                            plane + int64_t{y + row.shift} * plane_width_, count);
      }
  }

  void interleave(const float* planes, float* out) const {
    const int sh = spec_.window.stride_h, sw = spec_.window.stride_w;
    for (int y = 0; y < spec_.out.height; ++y) {
      const float* row = planes + (y % sh) * sw * plane_ + int64_t{y / sh} * plane_width_;
      float* to = out + int64_t{y} * spec_.out.row_stride;
      for (int phase = 0; phase < sw; ++phase)
        for (int x = phase, i = 0; x < spec_.out.width; x += sw, ++i)
          to[x] = row[phase * plane_ + i];
    }
  }

  const KernelTable& kernels_;
  const ConvTransposeSpec spec_;
  std::vector<TapAxis> rows_, columns_;
  int plane_width_, plane_height_;
  int64_t plane_, filter_floats_;
  std::vector<size_t> ptr_;
  std::vector<int32_t> channel_;
  std::vector<float> values_;
  mutable AlignedBuffer<float> buffers_;  // the planes of one filter for each thread
};

}  // namespace

std::unique_ptr<Step> make_conv_transpose_step(const KernelTable& kernels, int threads,
                                               const ConvTransposeSpec& spec,
                                               const SliceShape& shape,
                                               const PackedSlices& slices) {
  return std::make_unique<ConvTransposeStep>(kernels, threads, spec, shape, slices);
}

}  // namespace lnx
