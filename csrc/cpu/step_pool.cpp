#include <algorithm>
#include <limits>

#include "cpu/step.h"

namespace lnx {
namespace {

// Inverse of how many rows (or columns) the average at each output position counts.
std::vector<float> average_scale(int out, int in, int kernel, int stride, int padding,
                                 bool count_include_pad) {
  std::vector<float> scale((out + 15) / 16 * 16, 0.0f);
  for (int i = 0; i < out; ++i) {
    int begin = i * stride - padding;
    // With ceil_mode a window may reach past the padding: that part is never counted.
    int end = std::min(begin + kernel, in + padding);
    if (!count_include_pad) {
      begin = std::max(begin, 0);
      end = std::min(end, in);
    }
    scale[i] = 1.0f / static_cast<float>(std::max(end - begin, 1));
  }
  return scale;
}

class PoolStep : public Step {
 public:
  PoolStep(const KernelTable& kernels, int threads, const PoolSpec& spec)
      : kernels_(kernels), spec_(spec) {
    const Window& w = spec.window;
    row_scale_ = average_scale(spec.out.height, spec.in.height, w.kernel_h, w.stride_h, w.padding_h,
                               spec.count_include_pad);
    column_scale_ = average_scale(spec.out.width, spec.in.width, w.kernel_w, w.stride_w,
                                  w.padding_w, spec.count_include_pad);
    // As far as the windows of the last, partly filled vector reach.
    const int64_t reach = (int64_t{spec.out.width} + 32) * w.stride_w + w.kernel_w;
    margin_ = (w.padding_w + 15) / 16 * 16;
    buffer_stride_ = margin_ + (std::max<int64_t>(reach, spec.in.width + 16) + 15) / 16 * 16;
    buffers_.assign(buffer_stride_ * threads,
                    spec.average ? 0.0f : -std::numeric_limits<float>::infinity());
  }

  void run(const Frame& frame) const override {
    const Window& w = spec_.window;
    PoolArgs a{};
    a.in = frame.arena + spec_.in.offset;
    a.in_stride = spec_.in.channel_stride;
    a.in_height = spec_.in.height;
    a.in_width = spec_.in.width;
    a.in_row_stride = spec_.in.row_stride;
    a.out = frame.arena + spec_.out.offset;
    a.out_stride = spec_.out.channel_stride;
    a.out_height = spec_.out.height;
    a.out_width = spec_.out.width;
    a.out_row_stride = spec_.out.row_stride;
    a.kernel_h = w.kernel_h;
    a.kernel_w = w.kernel_w;
    a.stride_h = w.stride_h;
    a.stride_w = w.stride_w;
    a.padding_h = w.padding_h;
    a.padding_w = w.padding_w;
    a.average = spec_.average;
    a.row_scale = row_scale_.data();
    a.column_scale = column_scale_.data();
    const int parts =
        frame.parts(spec_.in.channels, spec_.in.channel_stride + spec_.out.channel_stride);
    frame.split(spec_.in.channels, parts, [&](int begin, int end, int member) {
      PoolArgs mine = a;
      mine.buffer = buffers_.data() + member * buffer_stride_ + margin_;
      kernels_.pool(mine, begin, end);
    });
  }

 private:
  const KernelTable& kernels_;
  const PoolSpec spec_;
  std::vector<float> row_scale_, column_scale_;
  int64_t margin_, buffer_stride_;
  mutable std::vector<float> buffers_;  // a row for each thread
};

class GlobalAverageStep : public Step {
 public:
  GlobalAverageStep(const KernelTable& kernels, const Image& in, const Image& out)
      : kernels_(kernels),
        in_(in),
        out_(out),
        // An image of one pixel, or a vector.
        out_stride_(out.channels == in.channels ? out.channel_stride : 1) {}

  void run(const Frame& frame) const override {
    const int64_t count = (int64_t{in_.height} * in_.row_stride + 15) / 16 * 16;
    frame.split(in_.channels, frame.parts(in_.channels, count), [&](int begin, int end, int) {
      kernels_.global_average(frame.arena + in_.offset, in_.channel_stride, count,
                              in_.height * in_.width, frame.arena + out_.offset, out_stride_, begin,
                              end);
    });
  }

 private:
  const KernelTable& kernels_;
  const Image in_, out_;
  const int64_t out_stride_;
};

}  // namespace

std::unique_ptr<Step> make_pool_step(const KernelTable& kernels, int threads,
                                     const PoolSpec& spec) {
  return std::make_unique<PoolStep>(kernels, threads, spec);
}

std::unique_ptr<Step> make_global_average_step(const KernelTable& kernels, const Image& in,
                                               const Image& out) {
  return std::make_unique<GlobalAverageStep>(kernels, in, out);
}

}  // namespace lnx
