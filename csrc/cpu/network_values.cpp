// Steps beyond convolutions: checked, then added.
#include <algorithm>

#include "cpu/network_state.h"

namespace lnx {
namespace {

bool same_rows(const View& a, const View& b) {
  return a.shape.size() == b.shape.size() &&
         std::equal(a.shape.begin(), a.shape.end() - 1, b.shape.begin());
}

bool inside(const std::vector<int32_t>& indices, int size, int limit) {
  if (static_cast<int>(indices.size()) != size) return false;
  for (int32_t i : indices)
    if (i < 0 || i >= limit) return false;
  return true;
}

bool fits(const WindowAxis& axis, int in, int out) {
  if (axis.step < 1 || static_cast<int>(axis.count.size()) != out) return false;
  for (int32_t count : axis.count)
    if (count < 1) return false;
  return inside(axis.begin, out, in + 1) && inside(axis.end, out, in + 1);
}

bool fits(const BlendAxis& axis, int in, int out) {
  return inside(axis.low, out, in) && inside(axis.high, out, in) &&
         static_cast<int>(axis.share.size()) == out;
}

}  // namespace

void Network::add_linear_rows(const View& in, const View& out, const PackedWeight& weight,
                              const float* scale, const std::vector<float>& bias,
                              Activation activation, bool dense) {
  const SliceShape& shape = weight.shape();
  state_->check_rows(in);
  state_->check_rows(out);
  state_->check(same_rows(in, out), "the rows of input and output differ");
  state_->check(static_cast<int64_t>(bias.size()) == out.row_floats() &&
                    shape.filters == out.row_floats() && shape.channels == in.row_floats(),
                "weight, bias and rows differ in length");
  state_->steps.push_back(make_linear_rows_step(state_->kernels, threads(), in, out, weight, scale,
                                                bias, activation, dense));
}

void Network::add_conv_transpose(const ConvTransposeSpec& s, const PackedWeight& weight,
                                 const float* scale) {
  const SliceShape& shape = weight.shape();
  const Window& w = s.window;
  state_->check_image(s.in, 0);
  state_->check_image(s.out, 0);
  state_->check(static_cast<int64_t>(s.bias.size()) == s.out.channels &&
                    shape.filters == s.out.channels && shape.channels == s.in.channels,
                "weight, bias and images differ in channels");
  const bool pointwise = shape.channels_per_slice > 1 || shape.length == 1;
  state_->check((pointwise ? 1 : shape.length) == w.kernel_h * w.kernel_w,
                "slices do not have the kernel's length");
  state_->check(w.stride_h > 0 && w.stride_w > 0 && w.dilation_h > 0 && w.dilation_w > 0,
                "stride and dilation must be positive");
  PackedSlices slices;
  weight.unpack(0, shape.filters, scale, slices);
  state_->steps.push_back(make_conv_transpose_step(state_->kernels, threads(), s, shape, slices));
}

void Network::add_window_pool(const WindowPoolSpec& s) {
  state_->check_image(s.in, 0);
  state_->check_image(s.out, 0);
  state_->check(s.in.channels == s.out.channels, "pooling keeps the channels");
  state_->check(fits(s.rows, s.in.height, s.out.height) && fits(s.columns, s.in.width, s.out.width),
                "windows outside the image");
  state_->steps.push_back(make_window_pool_step(state_->kernels, threads(), s));
}

void Network::add_blend(const BlendSpec& s) {
  state_->check_image(s.in, 0);
  state_->check_image(s.out, 0);
  state_->check(s.in.channels == s.out.channels, "resizing keeps the channels");
  state_->check(fits(s.rows, s.in.height, s.out.height) && fits(s.columns, s.in.width, s.out.width),
                "pixels outside the image");
  state_->steps.push_back(make_blend_step(state_->kernels, threads(), s));
}

void Network::add_constant(const Image& out, const std::vector<float>& values) {
  state_->check_image(out, 0);
  state_->check(static_cast<int64_t>(values.size()) == floats_of(out), "sizes differ");
  state_->steps.push_back(make_constant_step(out, values));
}

void Network::add_binary(RowKind kind, const View& a, const View& b, const View& out) {
  state_->check_rows(out);
  for (const View* v : {&a, &b}) {
    state_->check_view(*v);
    state_->check(v->shape == out.shape && v->strides.back() <= 1, "operands have other shapes");
  }
  state_->steps.push_back(make_binary_step(state_->kernels, kind, a, b, out));
}

void Network::add_affine(const View& in, const View& out, const std::vector<float>& scale,
                         const std::vector<float>& shift, Activation activation) {
  state_->check_rows(in);
  state_->check_rows(out);
  state_->check(in.shape == out.shape && static_cast<int64_t>(scale.size()) == in.shape[0] &&
                    scale.size() == shift.size(),
                "scale, shift and values differ in channels");
  state_->steps.push_back(make_affine_step(state_->kernels, in, out, scale, shift, activation));
}

void Network::add_reduce(const ReduceSpec& s) {
  state_->check_view(s.kept);
  state_->check_view(s.reduced);
  state_->check_view(s.out);
  const View& rows = s.last_is_kept ? s.kept : s.reduced;
  state_->check_rows(rows);
  if (s.last_is_kept) state_->check_rows(s.out);
  state_->check(s.kept.shape == s.out.shape && s.kept.offset == s.reduced.offset &&
                    s.kept.reach() + s.reduced.reach() + s.kept.offset < state_->arena_floats,
                "axes do not fit together");
  state_->check(s.kind == RowKind::kAdd || s.kind == RowKind::kMax || s.kind == RowKind::kMin,
                "no such reduction");
  state_->steps.push_back(make_reduce_step(state_->kernels, s));
}

void Network::add_softmax(const View& in, const View& out, int axis) {
  state_->check_rows(in);
  state_->check_rows(out);
  state_->check(in.shape == out.shape && axis >= 0 && axis < static_cast<int>(in.shape.size()),
                "shapes differ, or there is no such axis");
  state_->steps.push_back(make_softmax_step(state_->kernels, threads(), in, out, axis));
}

void Network::add_matmul(const View& a, const View& b, const View& out) {
  for (const View* v : {&a, &b, &out}) state_->check_rows(*v);
  const size_t rank = out.shape.size();
  state_->check(rank >= 2 && a.shape.size() == rank && b.shape.size() == rank &&
                    same_rows(a, out) && a.shape[rank - 1] == b.shape[rank - 2] &&
                    b.shape[rank - 1] == out.shape[rank - 1] &&
                    std::equal(b.shape.begin(), b.shape.end() - 2, out.shape.begin()),
                "matrices do not fit together");
  state_->steps.push_back(make_matmul_step(state_->kernels, a, b, out));
}

void Network::add_rearrange(const std::vector<RearrangePiece>& pieces) {
  for (const RearrangePiece& piece : pieces) {
    state_->check_rows(piece.out);
    state_->check(piece.tables.size() == piece.out.shape.size() && piece.in_offset >= 0,
                  "a table for each axis");
    int64_t reach = piece.in_offset;
    for (size_t i = 0; i < piece.tables.size(); ++i) {
      const std::vector<int64_t>& table = piece.tables[i];
      state_->check(static_cast<int64_t>(table.size()) == piece.out.shape[i],
                    "a table is as long as its axis");
      reach += std::max<int64_t>(0, *std::max_element(table.begin(), table.end()));
      state_->check(reach < state_->arena_floats, "elements outside the arena");
    }
  }
  state_->steps.push_back(make_rearrange_step(pieces));
}

void Network::add_reshape(const Image& in, const Image& out) {
  state_->check_image(in, 0);
  state_->check_image(out, 0);
  state_->check(floats_of(in) == floats_of(out), "sizes differ");
  state_->steps.push_back(make_reshape_step(in, out));
}

}  // namespace lnx
