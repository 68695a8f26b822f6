// lilnetx._core.Network: steps beyond convolutions.
#include "bindings/arguments.h"
#include "bindings/weight.h"
#include "lnx/packed_weight.h"

namespace py = pybind11;

namespace lnx {
namespace {

using ViewArray = Array<int64_t>;

void py_linear_rows(Network& self, const ViewArray& in, const ViewArray& out,
                    const PackedWeight& weight, const Scale& scale, const Array<float>& bias,
                    const std::string& activation, bool dense) {
  self.add_linear_rows(to_view(in), to_view(out), weight, scale_data(weight, scale),
                       to_vector(bias), activation_from_name(activation), dense);
}

void py_conv_transpose(Network& self, const ImageTuple& in, const ImageTuple& out,
                       const WindowTuple& window, const Array<float>& bias,
                       const PackedWeight& weight, const Scale& scale) {
  self.add_conv_transpose({to_image(in), to_image(out), to_window(window), to_vector(bias)}, weight,
                          scale_data(weight, scale));
}

WindowAxis to_window_axis(const Array<int32_t>& begin, const Array<int32_t>& end,
                          const Array<int32_t>& count, int step) {
  return {to_vector(begin), to_vector(end), to_vector(count), step};
}

void py_window_pool(Network& self, const ImageTuple& in, const ImageTuple& out, bool average,
                    const Array<int32_t>& row_begin, const Array<int32_t>& row_end,
                    const Array<int32_t>& row_count, int row_step,
                    const Array<int32_t>& column_begin, const Array<int32_t>& column_end,
                    const Array<int32_t>& column_count, int column_step) {
  self.add_window_pool({to_image(in), to_image(out), average,
                        to_window_axis(row_begin, row_end, row_count, row_step),
                        to_window_axis(column_begin, column_end, column_count, column_step)});
}

void py_blend(Network& self, const ImageTuple& in, const ImageTuple& out,
              const Array<int32_t>& row_low, const Array<int32_t>& row_high,
              const Array<float>& row_share, const Array<int32_t>& column_low,
              const Array<int32_t>& column_high, const Array<float>& column_share) {
  self.add_blend({to_image(in),
                  to_image(out),
                  {to_vector(row_low), to_vector(row_high), to_vector(row_share)},
                  {to_vector(column_low), to_vector(column_high), to_vector(column_share)}});
}

void py_reduce(Network& self, const std::string& kind, bool mean, bool last_is_kept,
               const ViewArray& kept, const ViewArray& reduced, const ViewArray& out) {
  self.add_reduce({row_kind_from_name(kind), mean, last_is_kept, to_view(kept), to_view(reduced),
                   to_view(out)});
}

// `tables`: those of all axes, one after the other.
using PieceTuple = std::tuple<int64_t, Array<int64_t>, ViewArray>;

void py_rearrange(Network& self, const std::vector<PieceTuple>& pieces, const Array<float>& fill) {
  if (fill.size() != 1) throw std::invalid_argument("one number to fill with");
  std::vector<RearrangePiece> all;
  for (const auto& [in_offset, tables, out] : pieces) {
    RearrangePiece piece{in_offset, {}, to_view(out), fill.data()[0]};
    const int64_t* next = tables.data();
    int64_t left = tables.size();
    for (int64_t size : piece.out.shape) {
      if (size < 1 || size > left) throw std::invalid_argument("a table for each axis");
      piece.tables.emplace_back(next, next + size);
      next += size;
      left -= size;
    }
    all.push_back(std::move(piece));
  }
  self.add_rearrange(all);
}

}  // namespace

void bind_values(py::class_<Network>& network) {
  network
      .def("add_linear_rows", &py_linear_rows, py::kw_only(), py::arg("input"), py::arg("output"),
           py::arg("weight"), py::arg("scale"), py::arg("bias"), py::arg("activation"),
           py::arg("dense"))
      .def("add_conv_transpose", &py_conv_transpose, py::kw_only(), py::arg("input"),
           py::arg("output"), py::arg("window"), py::arg("bias"), py::arg("weight"),
           py::arg("scale"))
      .def("add_window_pool", &py_window_pool)
      .def("add_blend", &py_blend)
      .def("add_constant",
           [](Network& n, const ImageTuple& out, const Array<float>& values) {
             n.add_constant(to_image(out), to_vector(values));
           })
      .def("add_binary",
           [](Network& n, const std::string& kind, const ViewArray& a, const ViewArray& b,
              const ViewArray& out) {
             n.add_binary(row_kind_from_name(kind), to_view(a), to_view(b), to_view(out));
           })
      .def("add_affine",
           [](Network& n, const ViewArray& in, const ViewArray& out, const Array<float>& scale,
              const Array<float>& shift, const std::string& activation) {
             n.add_affine(to_view(in), to_view(out), to_vector(scale), to_vector(shift),
                          activation_from_name(activation));
           })
      .def("add_reduce", &py_reduce)
      .def("add_softmax", [](Network& n, const ViewArray& in, const ViewArray& out,
                             int axis) { n.add_softmax(to_view(in), to_view(out), axis); })
      .def("add_matmul",
           [](Network& n, const ViewArray& a, const ViewArray& b, const ViewArray& out) {
             n.add_matmul(to_view(a), to_view(b), to_view(out));
           })
      .def("add_rearrange", &py_rearrange)
      .def("add_reshape", [](Network& n, const ImageTuple& in, const ImageTuple& out) {
        n.add_reshape(to_image(in), to_image(out));
      });
}

}  // namespace lnx
