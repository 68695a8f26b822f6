#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/aligned_buffer.h"
#include "cpu/step.h"

namespace lnx {
namespace {

int64_t padded(int64_t n) { return (n + 15) / 16 * 16; }

// Dense [channels][height][width] and the arena's layout, to and fro.
void to_arena(const Image& image, const float* from, float* arena, const Range& channels) {
  for (int c = channels.begin; c < channels.end; ++c)
    for (int y = 0; y < image.height; ++y)
      std::memcpy(arena + image.offset + c * image.channel_stride + int64_t{y} * image.row_stride,
                  from + (int64_t{c} * image.height + y) * image.width,
                  sizeof(float) * image.width);
}

void from_arena(const Image& image, const float* arena, float* to, const Range& channels) {
  for (int c = channels.begin; c < channels.end; ++c)
    for (int y = 0; y < image.height; ++y)
      std::memcpy(to + (int64_t{c} * image.height + y) * image.width,
                  arena + image.offset + c * image.channel_stride + int64_t{y} * image.row_stride,
                  sizeof(float) * image.width);
}

class InputStep : public Step {
 public:
  explicit InputStep(const Image& to) : to_(to) {}
  void run(const Frame& frame) const override {
    to_arena(to_, frame.input, frame.arena, Range(to_.channels, frame));
  }

 private:
  const Image to_;
};

class OutputStep : public Step {
 public:
  OutputStep(const Image& from, int index)
      : from_(from), index_(index), floats_(int64_t{from.channels} * from.height * from.width) {}
  void run(const Frame& frame) const override {
    from_arena(from_, frame.arena, frame.outputs[index_] + frame.image * floats_,
               Range(from_.channels, frame));
  }

 private:
  const Image from_;
  const int index_;
  const int64_t floats_;
};

class FlattenStep : public Step {
 public:
  FlattenStep(const Image& in, const Image& out) : in_(in), out_(out) {}
  void run(const Frame& frame) const override {
    from_arena(in_, frame.arena, frame.arena + out_.offset, Range(in_.channels, frame));
  }

 private:
  const Image in_, out_;
};

class ElementwiseStep : public Step {
 public:
  ElementwiseStep(const KernelTable& kernels, const Image& a, const Image* b, const Image& out,
                  bool relu)
      : kernels_(kernels), a_(a), b_(b ? b->offset : -1), out_(out.offset), relu_(relu) {}

  void run(const Frame& frame) const override {
    const Range part(a_.channels, frame);
    const int64_t first = part.begin * a_.channel_stride;
    // Gaps and the rows of zeros between channels are zero in both, and stay so.
    const int64_t count = part.end == a_.channels
                              ? (part.end - 1 - part.begin) * a_.channel_stride +
                                    padded(int64_t{a_.height} * a_.row_stride)
                              : (part.end - part.begin) * a_.channel_stride;
    if (part.begin == part.end) return;
    kernels_.add_relu(frame.arena + a_.offset + first, b_ < 0 ? nullptr : frame.arena + b_ + first,
                      frame.arena + out_ + first, count, relu_);
  }

 private:
  const KernelTable& kernels_;
  const Image a_;
  const int64_t b_, out_;
  const bool relu_;
};

class LinearStep : public Step {
 public:
  LinearStep(const KernelTable& kernels, const Image& in, const Image& out, const SliceShape& shape,
             const PackedSlices& packed, const std::vector<float>& bias, bool relu, bool dense)
      : in_(in), out_(out), bias_(bias), relu_(relu), columns_(padded(in.width)) {
    run_ = dense ? kernels.linear_dense : kernels.linear_sparse;
    std::vector<float> sparse;
    if (dense) values_ = AlignedBuffer<float>(shape.filters * columns_);
    ptr_.push_back(0);
    for (int64_t f = 0; f < shape.filters; ++f) {
      for (uint32_t k = packed.filter_ptr[f]; k < packed.filter_ptr[f + 1]; ++k)
        for (int i = 0; i < shape.length; ++i) {
          const uint32_t column = packed.channel[k] + i;
          const float weight = packed.values[static_cast<size_t>(k) * shape.length + i];
          if (column >= static_cast<uint32_t>(in.width) || weight == 0.0f) continue;
          if (dense) {
            values_.data()[f * columns_ + column] = weight;
          } else {
            channel_.push_back(column);
            sparse.push_back(weight);
          }
        }
      ptr_.push_back(static_cast<uint32_t>(channel_.size()));
    }
    if (!dense) {
      values_ = AlignedBuffer<float>(sparse.size());
      std::copy(sparse.begin(), sparse.end(), values_.data());
    }
  }

  void run(const Frame& frame) const override {
    LinearArgs a{};
    a.x = frame.arena + in_.offset;
    a.columns = columns_;
    a.ptr = ptr_.data();
    a.channel = channel_.data();
    a.values = values_.data();
    a.bias = bias_.data();
    a.relu = relu_;
    a.y = frame.arena + out_.offset;
    const Range filters(out_.width, frame);
    run_(a, filters.begin, filters.end);
  }

 private:
  const Image in_, out_;
  const std::vector<float> bias_;
  const bool relu_;
  const int64_t columns_;
  std::vector<uint32_t> ptr_, channel_;
  AlignedBuffer<float> values_;
  void (*run_)(const LinearArgs&, int, int);
};

class SoftmaxStep : public Step {
 public:
  SoftmaxStep(const Image& in, const Image& out) : in_(in), out_(out) {}

  void run(const Frame& frame) const override {
    if (frame.member != 0) return;
    const float* x = frame.arena + in_.offset;
    float* y = frame.arena + out_.offset;
    const float largest = *std::max_element(x, x + in_.width);
    float total = 0.0f;
    for (int i = 0; i < in_.width; ++i) total += y[i] = std::exp(x[i] - largest);
    for (int i = 0; i < in_.width; ++i) y[i] /= total;
  }

 private:
  const Image in_, out_;
};

}  // namespace

std::unique_ptr<Step> make_input_step(const Image& to) { return std::make_unique<InputStep>(to); }

std::unique_ptr<Step> make_output_step(const Image& from, int index) {
  return std::make_unique<OutputStep>(from, index);
}

std::unique_ptr<Step> make_flatten_step(const Image& in, const Image& out) {
  return std::make_unique<FlattenStep>(in, out);
}

std::unique_ptr<Step> make_elementwise_step(const KernelTable& kernels, const Image& a,
                                            const Image* b, const Image& out, bool relu) {
  return std::make_unique<ElementwiseStep>(kernels, a, b, out, relu);
}

std::unique_ptr<Step> make_linear_step(const KernelTable& kernels, const Image& in,
                                       const Image& out, const SliceShape& shape,
                                       const PackedSlices& slices, const std::vector<float>& bias,
                                       bool relu, bool dense) {
  return std::make_unique<LinearStep>(kernels, in, out, shape, slices, bias, relu, dense);
}

std::unique_ptr<Step> make_softmax_step(const Image& in, const Image& out) {
  return std::make_unique<SoftmaxStep>(in, out);
}

}  // namespace lnx
