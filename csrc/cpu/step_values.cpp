// Steps on values of any rank: arithmetic of two values, sums and maxima along axes, matrix
// products.
#include <algorithm>
#include <cstring>
#include <limits>

#include "cpu/step.h"
#include "cpu/view_rows.h"

namespace lnx {
namespace {

constexpr int64_t kMostRows = std::numeric_limits<int>::max();

// Shares rows among threads; a row costs about that many floats of memory traffic.
template <typename Fn>
void share_rows(const Frame& frame, int64_t rows, int64_t floats, const Fn& fn) {
  const int count = static_cast<int>(std::min(rows, kMostRows));
  frame.split(count, frame.parts(count, floats), fn);
}

class ConstantStep : public Step {
 public:
  ConstantStep(const Image& out, std::vector<float> values)
      : out_(out), values_(std::move(values)) {}

  void run(const Frame& frame) const override {
    const float* from = values_.data();
    for (int c = 0; c < out_.channels; ++c)
      for (int y = 0; y < out_.height; ++y, from += out_.width)
        std::memcpy(
            frame.arena + out_.offset + c * out_.channel_stride + int64_t{y} * out_.row_stride,
            from, sizeof(float) * out_.width);
  }

  int64_t weight_bytes() const override { return static_cast<int64_t>(4 * values_.size()); }

 private:
  const Image out_;
  const std::vector<float> values_;
};

class BinaryStep : public Step {
 public:
  BinaryStep(const KernelTable& kernels, RowKind kind, const View& a, const View& b,
             const View& out)
      : kernels_(kernels), kind_(kind), a_(a), b_(b), out_(out) {}

  void run(const Frame& frame) const override {
    const float* a = frame.arena + a_.offset;
    const float* b = frame.arena + b_.offset;
    float* out = frame.arena + out_.offset;
    const int a_step = a_.strides.back() != 0, b_step = b_.strides.back() != 0;
    const int64_t count = out_.row_floats();
    share_rows(frame, out_.rows(), 3 * count, [&](int begin, int end, int) {
      for_rows<3>(out_.shape, {&a_.strides, &b_.strides, &out_.strides}, begin, end,
                  [&](const std::array<int64_t, 3>& at) {
                    kernels_.row_binary(kind_, a + at[0], a_step, b + at[1], b_step, out + at[2],
                                        count);
                  });
    });
  }

 private:
  const KernelTable& kernels_;
  const RowKind kind_;
  const View a_, b_, out_;
};

// Rows all have one scale and shift, or, of a vector, each element has its own.
class AffineStep : public Step {
 public:
  AffineStep(const KernelTable& kernels, const View& in, const View& out, std::vector<float> scale,
             std::vector<float> shift, Activation activation)
      : kernels_(kernels),
        in_(in),
        out_(out),
        scale_(std::move(scale)),
        shift_(std::move(shift)),
        activation_(activation) {}

  void run(const Frame& frame) const override {
    const float* in = frame.arena + in_.offset;
    float* out = frame.arena + out_.offset;
    const int64_t count = out_.row_floats();
    if (out_.shape.size() == 1) {
      for (int64_t i = 0; i < count; ++i)
        kernels_.row_affine(in + i, scale_[i], shift_[i], out + i, 1, activation_);
      return;
    }
    const int64_t rows_a_channel = out_.rows() / out_.shape[0];
    share_rows(frame, out_.rows(), 2 * count, [&](int begin, int end, int) {
      int64_t row = begin;
      for_rows<2>(out_.shape, {&in_.strides, &out_.strides}, begin, end,
                  [&](const std::array<int64_t, 2>& at) {
                    const int64_t c = row++ / rows_a_channel;
                    kernels_.row_affine(in + at[0], scale_[c], shift_[c], out + at[1], count,
                                        activation_);
                  });
    });
  }

  int64_t weight_bytes() const override { return static_cast<int64_t>(8 * scale_.size()); }

 private:
  const KernelTable& kernels_;
  const View in_, out_;
  const std::vector<float> scale_, shift_;
  const Activation activation_;
};

// The last axis of the input belongs to `reduced` or to `kept`; rows of whichever it is.
class ReduceStep : public Step {
 public:
  ReduceStep(const KernelTable& kernels, const ReduceSpec& spec)
      : kernels_(kernels),
        spec_(spec),
        factor_(spec.mean ? 1.0f / static_cast<float>(spec.reduced.elements()) : 1.0f),
        elements_(spec.last_is_kept ? spec.reduced.shape : spec.kept.shape),
        from_(spec.last_is_kept ? spec.reduced.strides : spec.kept.strides),
        to_(spec.out.strides) {
    // Rows of one element each: the walk ends at the last axis but one.
    elements_.push_back(1);
    from_.push_back(0);
    to_.push_back(0);
  }

  void run(const Frame& frame) const override {
    const float* in = frame.arena + spec_.kept.offset;
    float* out = frame.arena + spec_.out.offset;
    spec_.last_is_kept ? run_rows(frame, in, out) : run_elements(frame, in, out);
  }

 private:
  // Combines whole rows into rows of the output.
  void run_rows(const Frame& frame, const float* in, float* out) const {
    const View& kept = spec_.kept;
    const int64_t count = kept.row_floats(), summands = spec_.reduced.elements();
    share_rows(frame, kept.rows(), count * summands, [&](int begin, int end, int) {
      for_rows<2>(kept.shape, {&kept.strides, &spec_.out.strides}, begin, end,
                  [&](const std::array<int64_t, 2>& at) {
                    float* to = out + at[1];
                    bool first = true;
                    for_rows<1>(elements_, {&from_}, 0, summands,
                                [&](const std::array<int64_t, 1>& from) {
                                  const float* row = in + at[0] + from[0];
                                  if (first) {
                                    std::memcpy(to, row, sizeof(float) * count);
                                  } else {
                                    kernels_.row_binary(spec_.kind, to, 1, row, 1, to, count);
                                  }
                                  first = false;
                                });
                    if (factor_ != 1.0f)
                      kernels_.row_affine(to, factor_, 0.0f, to, count, Activation::kNone);
                  });
    });
  }

  // Combines along rows, for each element of the output.
  void run_elements(const Frame& frame, const float* in, float* out) const {
    const View& reduced = spec_.reduced;
    share_rows(frame, spec_.kept.elements(), reduced.elements(), [&](int begin, int end, int) {
      for_rows<2>(elements_, {&from_, &to_}, begin, end, [&](const std::array<int64_t, 2>& at) {
        float result = 0.0f;
        bool first = true;
        for_rows<1>(reduced.shape, {&reduced.strides}, 0, reduced.rows(),
                    [&](const std::array<int64_t, 1>& from) {
                      const float part = kernels_.row_reduce(spec_.kind, in + at[0] + from[0],
                                                             reduced.row_floats());
                      result = first ? part : combine(result, part);
                      first = false;
                    });
        out[at[1]] = result * factor_;
      });
    });
  }

  float combine(float a, float b) const {
    if (spec_.kind == RowKind::kMax) return std::max(a, b);
    if (spec_.kind == RowKind::kMin) return std::min(a, b);
    return a + b;
  }

  const KernelTable& kernels_;
  const ReduceSpec spec_;
  const float factor_;
  std::vector<int64_t> elements_, from_, to_;
};

class SoftmaxStep : public Step {
 public:
  SoftmaxStep(const KernelTable& kernels, int threads, const View& in, const View& out, int axis)
      : kernels_(kernels), in_(in), out_(out), axis_(static_cast<size_t>(axis)) {
    // The walk over all rows that begin a softmax: the axis itself counts once.
    shape_ = out.shape;
    along_row_ = axis_ + 1 == shape_.size();
    if (along_row_) return;
    shape_[axis_] = 1;
    const int64_t count = out.row_floats();
    buffers_.assign(2 * count * threads, 0.0f);
  }

  void run(const Frame& frame) const override {
    const float* in = frame.arena + in_.offset;
    float* out = frame.arena + out_.offset;
    int64_t rows = 1;
    for (size_t i = 0; i + 1 < shape_.size(); ++i) rows *= shape_[i];
    const int64_t length = out_.shape[axis_], count = out_.row_floats();
    share_rows(frame, rows, 8 * length * (along_row_ ? 1 : count), [&](int b, int e, int member) {
      for_rows<2>(shape_, {&in_.strides, &out_.strides}, b, e,
                  [&](const std::array<int64_t, 2>& at) {
                    if (along_row_) {
                      softmax_row(in + at[0], out + at[1], count);
                    } else {
                      softmax_rows(in + at[0], out + at[1], count, member);
                    }
                  });
    });
  }

 private:
  void softmax_row(const float* x, float* y, int64_t count) const {
    const float largest = kernels_.row_reduce(RowKind::kMax, x, count);
    kernels_.row_exp(x, &largest, 0, y, count);
    const float total = kernels_.row_reduce(RowKind::kAdd, y, count);
    kernels_.row_binary(RowKind::kDiv, y, 1, &total, 0, y, count);
  }

  void softmax_rows(const float* x, float* y, int64_t count, int member) const {
    float* largest = buffers_.data() + 2 * count * member;
    float* total = largest + count;
    const int64_t length = out_.shape[axis_], from = in_.strides[axis_], to = out_.strides[axis_];
    std::memcpy(largest, x, sizeof(float) * count);
    for (int64_t i = 1; i < length; ++i)
      kernels_.row_binary(RowKind::kMax, largest, 1, x + i * from, 1, largest, count);
    std::fill_n(total, count, 0.0f);
    for (int64_t i = 0; i < length; ++i) {
      kernels_.row_exp(x + i * from, largest, 1, y + i * to, count);
      kernels_.row_binary(RowKind::kAdd, total, 1, y + i * to, 1, total, count);
    }
    for (int64_t i = 0; i < length; ++i)
      kernels_.row_binary(RowKind::kDiv, y + i * to, 1, total, 1, y + i * to, count);
  }

  const KernelTable& kernels_;
  const View in_, out_;
  const size_t axis_;
  std::vector<int64_t> shape_;
  bool along_row_ = false;
  mutable std::vector<float> buffers_;  // two rows for each thread
};

// out[..., i, :] = sum over k of a[..., i, k] * b[..., k, :].
class MatMulStep : public Step {
 public:
  MatMulStep(const KernelTable& kernels, const View& a, const View& b, const View& out)
      : kernels_(kernels), a_(a), b_(b), out_(out), step_(b.strides[b.strides.size() - 2]) {
    // Rows of the output: those of b are the same for all i.
    b_.strides[b_.strides.size() - 2] = 0;
  }

  void run(const Frame& frame) const override {
    const float* a = frame.arena + a_.offset;
    const float* b = frame.arena + b_.offset;
    float* out = frame.arena + out_.offset;
    const int64_t depth = a_.row_floats(), count = out_.row_floats();
    share_rows(frame, out_.rows(), depth * count, [&](int begin, int end, int) {
      for_rows<3>(out_.shape, {&a_.strides, &b_.strides, &out_.strides}, begin, end,
                  [&](const std::array<int64_t, 3>& at) {
                    std::fill_n(out + at[2], count, 0.0f);
                    for (int64_t k = 0; k < depth; ++k)
                      kernels_.row_axpy(b + at[1] + k * step_, a[at[0] + k], out + at[2], count);
                  });
    });
  }

 private:
  const KernelTable& kernels_;
  const View a_;
  View b_;
  const View out_;
  const int64_t step_;
};

}  // namespace

std::unique_ptr<Step> make_constant_step(const Image& out, const std::vector<float>& values) {
  return std::make_unique<ConstantStep>(out, values);
}

std::unique_ptr<Step> make_binary_step(const KernelTable& kernels, RowKind kind, const View& a,
                                       const View& b, const View& out) {
  return std::make_unique<BinaryStep>(kernels, kind, a, b, out);
}

std::unique_ptr<Step> make_affine_step(const KernelTable& kernels, const View& in, const View& out,
                                       const std::vector<float>& scale,
                                       const std::vector<float>& shift, Activation activation) {
  return std::make_unique<AffineStep>(kernels, in, out, scale, shift, activation);
}

std::unique_ptr<Step> make_reduce_step(const KernelTable& kernels, const ReduceSpec& spec) {
  return std::make_unique<ReduceStep>(kernels, spec);
}

std::unique_ptr<Step> make_softmax_step(const KernelTable& kernels, int threads, const View& in,
                                        const View& out, int axis) {
  return std::make_unique<SoftmaxStep>(kernels, threads, in, out, axis);
}

std::unique_ptr<Step> make_matmul_step(const KernelTable& kernels, const View& a, const View& b,
                                       const View& out) {
  return std::make_unique<MatMulStep>(kernels, a, b, out);
}

}  // namespace lnx
