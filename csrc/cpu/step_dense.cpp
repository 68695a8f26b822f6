#include <algorithm>
#include <cstring>

#include "cpu/aligned_buffer.h"
#include "cpu/step.h"
#include "cpu/view_rows.h"

namespace lnx {
namespace {

int64_t padded(int64_t n) { return (n + 15) / 16 * 16; }

// Copies rows of an image in the arena to or from dense [channels][height][width].
template <typename CopyRow>
void for_each_row(const Frame& frame, const Image& image, CopyRow copy) {
  const int parts = frame.parts(image.channels, image.channel_stride);
  frame.split(image.channels, parts, [&](int begin, int end, int) {
    for (int c = begin; c < end; ++c)
      for (int y = 0; y < image.height; ++y)
        copy(frame.arena + image.offset + c * image.channel_stride + int64_t{y} * image.row_stride,
             (int64_t{c} * image.height + y) * image.width);
  });
}

void to_dense(const Frame& frame, const Image& image, float* to) {
  const size_t bytes = sizeof(float) * image.width;
  for_each_row(frame, image, [=](const float* row, int64_t i) { std::memcpy(to + i, row, bytes); });
}

void from_dense(const Frame& frame, const Image& image, const float* from) {
  const size_t bytes = sizeof(float) * image.width;
  for_each_row(frame, image, [=](float* row, int64_t i) { std::memcpy(row, from + i, bytes); });
}

class InputStep : public Step {
 public:
  InputStep(const Image& to, int index)
      : to_(to), index_(index), floats_(int64_t{to.channels} * to.height * to.width) {}
  void run(const Frame& frame) const override {
    from_dense(frame, to_, frame.inputs[index_] + frame.image * floats_);
  }

 private:
  const Image to_;
  const int index_;
  const int64_t floats_;
};

class OutputStep : public Step {
 public:
  OutputStep(const Image& from, int index)
      : from_(from), index_(index), floats_(int64_t{from.channels} * from.height * from.width) {}
  void run(const Frame& frame) const override {
    to_dense(frame, from_, frame.outputs[index_] + frame.image * floats_);
  }

 private:
  const Image from_;
  const int index_;
  const int64_t floats_;
};

class ElementwiseStep : public Step {
 public:
  ElementwiseStep(const KernelTable& kernels, const Image& a, const Image* b, const Image& out,
                  Activation activation, float p0, float p1)
      : kernels_(kernels),
        a_(a),
        b_(b ? b->offset : -1),
        out_(out.offset),
        activation_(activation),
        p0_(p0),
        p1_(p1),
        mask_(pixel_mask(out)) {}

  void run(const Frame& frame) const override {
    ElementwiseArgs args{};
    args.a = frame.arena + a_.offset;
    args.b = b_ < 0 ? nullptr : frame.arena + b_;
    args.out = frame.arena + out_;
    args.stride = a_.channel_stride;
    args.count = padded(int64_t{a_.height} * a_.row_stride);
    args.mask = mask_.data();
    args.activation = activation_;
    args.p0 = p0_;
    args.p1 = p1_;
    const int parts = frame.parts(a_.channels, 3 * a_.channel_stride);
    frame.split(a_.channels, parts,
                [&](int begin, int end, int) { kernels_.elementwise(args, begin, end); });
  }

 private:
  const KernelTable& kernels_;
  const Image a_;
  const int64_t b_, out_;
  const Activation activation_;
  const float p0_, p1_;
  const std::vector<uint8_t> mask_;
};

// The weight of a linear layer as its kernels read it.
class LinearWeight {
 public:
  LinearWeight(const KernelTable& kernels, const PackedWeight& weight, const float* scale,
               const std::vector<float>& bias, Activation activation, bool dense)
      : bias_(bias),
        activation_(activation),
        features_(static_cast<int>(weight.shape().channels)),
        columns_(padded(features_)) {
    run_ = dense ? kernels.linear_dense : kernels.linear_sparse;
    const SliceShape& shape = weight.shape();
    PackedSlices row;
    if (dense) {
      weight.unpack_codes(scale, row);
      code_unit_ = row.unit;
    }
    const bool coded = !row.codes.empty();
    std::vector<float> sparse;
    if (coded) {
      codes_ = AlignedBuffer<int8_t>(shape.filters * columns_);
    } else if (dense) {
      values_ = AlignedBuffer<float>(shape.filters * columns_);
    }
    ptr_.push_back(0);
    size_t code = 0;
    for (int64_t f = 0; f < shape.filters; ++f) {
      weight.unpack(f, f + 1, scale, row);
      for (size_t k = 0; k < row.channel.size(); ++k)
        for (int i = 0; i < shape.length; ++i) {
          const uint32_t column = row.channel[k] + i;
          const float value = row.values[k * shape.length + i];
          if (coded) {
            codes_.data()[f * columns_ + column] = row.codes[code++];
            continue;
          }
          if (column >= static_cast<uint32_t>(features_) || value == 0.0f) continue;
          if (dense) {
            values_.data()[f * columns_ + column] = value;
          } else {
            channel_.push_back(column);
            sparse.push_back(value);
          }
        }
      ptr_.push_back(static_cast<uint32_t>(channel_.size()));
    }
    if (!dense) {
      values_ = AlignedBuffer<float>(sparse.size());
      std::copy(sparse.begin(), sparse.end(), values_.data());
    }
  }

  // Output features begin up to end of y = activation(W x + b); x is padded by zeros.
  void run(const float* x, float* y, int begin, int end) const {
    LinearArgs a{};
    a.x = x;
    a.columns = columns_;
    a.ptr = ptr_.data();
    a.channel = channel_.data();
    a.values = values_.data();
    a.codes = codes_.size() ? codes_.data() : nullptr;
    a.code_unit = code_unit_.data();
    a.bias = bias_.data();
    a.activation = activation_;
    a.y = y;
    run_(a, begin, end);
  }

  int64_t columns() const { return columns_; }

  int64_t bytes() const {
    return static_cast<int64_t>(4 * (ptr_.size() + channel_.size() + values_.size()) +
                                codes_.size());
  }

 private:
  const std::vector<float> bias_;
  const Activation activation_;
  const int features_;
  const int64_t columns_;
  std::vector<uint32_t> ptr_, channel_;
  AlignedBuffer<float> values_;
  AlignedBuffer<int8_t> codes_;
  std::vector<float> code_unit_;
  void (*run_)(const LinearArgs&, int, int);
};

class LinearStep : public Step {
 public:
  LinearStep(const Image& in, const Image& out, LinearWeight weight)
      : in_(in), out_(out), weight_(std::move(weight)) {}

  void run(const Frame& frame) const override {
    const float* x = frame.arena + in_.offset;
    float* y = frame.arena + out_.offset;
    frame.split(out_.width, frame.parts(out_.width, weight_.columns()),
                [&](int begin, int end, int) { weight_.run(x, y, begin, end); });
  }

  int64_t weight_bytes() const override { return weight_.bytes(); }

 private:
  const Image in_, out_;
  const LinearWeight weight_;
};

// The same for many rows, each copied to where zeros follow it.
class LinearRowsStep : public Step {
 public:
  LinearRowsStep(int threads, const View& in, const View& out, LinearWeight weight)
      : in_(in),
        out_(out),
        weight_(std::move(weight)),
        buffers_(static_cast<size_t>(weight_.columns() * threads)) {}

  void run(const Frame& frame) const override {
    const int rows = static_cast<int>(in_.rows()), features = static_cast<int>(out_.row_floats());
    const int64_t work = weight_.columns() * features;
    frame.split(rows, frame.parts(rows, work), [&](int begin, int end, int member) {
      float* x = buffers_.data() + member * weight_.columns();
      for_rows<2>(in_.shape, {&in_.strides, &out_.strides}, begin, end,
                  [&](const std::array<int64_t, 2>& at) {
                    std::memcpy(x, frame.arena + in_.offset + at[0],
                                sizeof(float) * in_.row_floats());
                    weight_.run(x, frame.arena + out_.offset + at[1], 0, features);
                  });
    });
  }

  int64_t weight_bytes() const override { return weight_.bytes(); }

 private:
  const View in_, out_;
  const LinearWeight weight_;
  mutable AlignedBuffer<float> buffers_;  // a row for each thread
};

}  // namespace

std::unique_ptr<Step> make_input_step(const Image& to, int index) {
  return std::make_unique<InputStep>(to, index);
}

std::unique_ptr<Step> make_output_step(const Image& from, int index) {
  return std::make_unique<OutputStep>(from, index);
}

std::unique_ptr<Step> make_elementwise_step(const KernelTable& kernels, const Image& a,
                                            const Image* b, const Image& out, Activation activation,
                                            float p0, float p1) {
  return std::make_unique<ElementwiseStep>(kernels, a, b, out, activation, p0, p1);
}

std::unique_ptr<Step> make_linear_step(const KernelTable& kernels, const Image& in,
                                       const Image& out, const PackedWeight& weight,
                                       const float* scale, const std::vector<float>& bias,
                                       Activation activation, bool dense) {
  return std::make_unique<LinearStep>(
      in, out, LinearWeight(kernels, weight, scale, bias, activation, dense));
}

std::unique_ptr<Step> make_linear_rows_step(const KernelTable& kernels, int threads, const View& in,
                                            const View& out, const PackedWeight& weight,
                                            const float* scale, const std::vector<float>& bias,
                                            Activation activation, bool dense) {
  return std::make_unique<LinearRowsStep>(
      threads, in, out, LinearWeight(kernels, weight, scale, bias, activation, dense));
}

}  // namespace lnx
