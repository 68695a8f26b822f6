// Pooling over windows of any kind, and bilinear resizing: each output row combines rows of the
// input in a buffer, each output pixel combines columns of the buffer.
#include <algorithm>
#include <limits>

#include "cpu/step.h"

namespace lnx {
namespace {

class WindowPoolStep : public Step {
 public:
  WindowPoolStep(const KernelTable& kernels, int threads, const WindowPoolSpec& spec)
      : kernels_(kernels), spec_(spec), buffers_(int64_t{spec.in.width} * threads, 0.0f) {}

  void run(const Frame& frame) const override {
    const Image &in = spec_.in, &out = spec_.out;
    frame.split(in.channels, frame.parts(in.channels, in.channel_stride + out.channel_stride),
                [&](int begin, int end, int member) {
                  float* buffer = buffers_.data() + int64_t{member} * in.width;
                  for (int c = begin; c < end; ++c)
                    for (int y = 0; y < out.height; ++y)
                      pool_row(frame.arena + in.offset + c * in.channel_stride,
                               frame.arena + out.offset + c * out.channel_stride +
                                   int64_t{y} * out.row_stride,
                               y, buffer);
                });
  }

 private:
  void pool_row(const float* in, float* out, int y, float* buffer) const {
    const RowKind kind = spec_.average ? RowKind::kAdd : RowKind::kMax;
    const float none = spec_.average ? 0.0f : -std::numeric_limits<float>::infinity();
    const int64_t width = spec_.in.width;
    std::fill_n(buffer, width, none);
    for (int row = spec_.rows.begin[y]; row < spec_.rows.end[y]; row += spec_.rows.step)
      kernels_.row_binary(kind, buffer, 1, in + int64_t{row} * spec_.in.row_stride, 1, buffer,
                          width);
    for (int x = 0; x < spec_.out.width; ++x) {
      float value = none;
      for (int i = spec_.columns.begin[x]; i < spec_.columns.end[x]; i += spec_.columns.step)
        value = spec_.average ? value + buffer[i] : std::max(value, buffer[i]);
      if (spec_.average)
        value /=
            static_cast<float>(spec_.rows.count[y]) * static_cast<float>(spec_.columns.count[x]);
      out[x] = value;
    }
  }

  const KernelTable& kernels_;
  const WindowPoolSpec spec_;
  mutable std::vector<float> buffers_;  // a row for each thread
};

class BlendStep : public Step {
 public:
  BlendStep(const KernelTable& kernels, int threads, const BlendSpec& spec)
      : kernels_(kernels), spec_(spec), buffers_(int64_t{spec.in.width} * threads, 0.0f) {}

  void run(const Frame& frame) const override {
    const Image &in = spec_.in, &out = spec_.out;
    frame.split(in.channels, frame.parts(in.channels, in.channel_stride + 4 * out.channel_stride),
                [&](int begin, int end, int member) {
                  float* buffer = buffers_.data() + int64_t{member} * in.width;
                  for (int c = begin; c < end; ++c)
                    for (int y = 0; y < out.height; ++y)
                      blend_row(frame.arena + in.offset + c * in.channel_stride,
                                frame.arena + out.offset + c * out.channel_stride +
                                    int64_t{y} * out.row_stride,
                                y, buffer);
                });
  }

 private:
  void blend_row(const float* in, float* out, int y, float* buffer) const {
    const BlendAxis &rows = spec_.rows, &columns = spec_.columns;
    const float* low = in + int64_t{rows.low[y]} * spec_.in.row_stride;
    const float* high = in + int64_t{rows.high[y]} * spec_.in.row_stride;
    kernels_.row_affine(low, 1.0f - rows.share[y], 0.0f, buffer, spec_.in.width, Activation::kNone);
    if (rows.share[y] != 0.0f) kernels_.row_axpy(high, rows.share[y], buffer, spec_.in.width);
    for (int x = 0; x < spec_.out.width; ++x)
      out[x] = buffer[columns.low[x]] * (1.0f - columns.share[x]) +
               buffer[columns.high[x]] * columns.share[x];
  }

  const KernelTable& kernels_;
  const BlendSpec spec_;
  mutable std::vector<float> buffers_;  // a row for each thread
};

}  // namespace

std::unique_ptr<Step> make_window_pool_step(const KernelTable& kernels, int threads,
                                            const WindowPoolSpec& spec) {
  return std::make_unique<WindowPoolStep>(kernels, threads, spec);
}

std::unique_ptr<Step> make_blend_step(const KernelTable& kernels, int threads,
                                      const BlendSpec& spec) {
  return std::make_unique<BlendStep>(kernels, threads, spec);
}

}  // namespace lnx
