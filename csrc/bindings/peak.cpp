// The machine's measured roofs for Python.
#include "lnx/peak.h"

#include <pybind11/pybind11.h>

#include <stdexcept>
#include <string>

#include "bindings/bindings.h"

namespace py = pybind11;

namespace lnx {

void bind_peak(py::module_& m) {
  m.def(
      "measure_fma_gflops",
      [](const std::string& isa, double seconds) {
        const Isa chosen = isa_from_name(isa);
        const py::gil_scoped_release release;
        return measure_fma_gflops(chosen, seconds);
      },
      py::arg("isa"), py::arg("seconds"), "Multiply-add throughput of one core, GFLOP/s.");
  m.def(
      "measure_load_gbs",
      [](const std::string& isa, size_t bytes, double seconds) {
        const Isa chosen = isa_from_name(isa);
        if (bytes < 1) throw std::invalid_argument("bytes must be positive");
        const py::gil_scoped_release release;
        return measure_load_gbs(chosen, bytes, seconds);
      },
      py::arg("isa"), py::arg("bytes"), py::arg("seconds"),
      "Rate at which one core loads a buffer of that size again and again, GB/s.");
}

}  // namespace lnx
