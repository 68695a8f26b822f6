// Python's door to the parts of training that are C++.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "bindings/bindings.h"
#include "lnx/rate_table.h"

namespace py = pybind11;

namespace lnx {
namespace {

using FloatArray = py::array_t<float, py::array::c_style>;

double py_sum_of_table(const FloatArray& latents, const FloatArray& table, float cells, float range,
                       FloatArray& by_latents, FloatArray& by_table) {
  if (latents.ndim() != 2 || table.ndim() != 2 || latents.shape(1) != table.shape(0))
    throw py::value_error("latents must have the shape (rows, n), and the table (n, points)");
  if (table.shape(1) < 2) throw py::value_error("a table has at least two points");
  if (by_latents.size() != latents.size() || by_table.size() != table.size())
    throw py::value_error("gradients must be as large as what they are of");
  const RateTable read{table.data(), size_t(table.shape(0)), size_t(table.shape(1)), cells, range};
  float* rows_out = by_latents.mutable_data();
  float* table_out = by_table.mutable_data();
  const py::gil_scoped_release release;
  return sum_of_table(read, latents.data(), size_t(latents.shape(0)), rows_out, table_out);
}

}  // namespace

void bind_train(py::module_& m) {
  m.def("sum_of_table", &py_sum_of_table, py::arg("latents").noconvert(),
        py::arg("table").noconvert(), py::kw_only(), py::arg("cells"), py::arg("range"),
        py::arg("by_latents").noconvert(), py::arg("by_table").noconvert(),
        "Sum of interpolated tables over latents; gradients go to the arrays given.");
}

}  // namespace lnx
