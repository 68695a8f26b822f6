#pragma once
#include <pybind11/pybind11.h>

namespace lnx {

// Each adds its functions and classes to the module.
void bind_codec(pybind11::module_& m);
void bind_weight(pybind11::module_& m);
void bind_peak(pybind11::module_& m);
void bind_runtime(pybind11::module_& m);
void bind_cuda(pybind11::module_& m);
void bind_train(pybind11::module_& m);

}  // namespace lnx
