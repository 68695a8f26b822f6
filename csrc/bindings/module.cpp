// The Python module lilnetx._core: the only place, with its neighbours in this folder, that knows
// pybind11. Shapes and dtypes are checked here, at the border.
#include "bindings/bindings.h"

PYBIND11_MODULE(_core, m) {
  m.doc() = "C++ parts of lilnetx: entropy codec, CPU runtime, CUDA kernels and the rate term.";
  lnx::bind_codec(m);
  lnx::bind_weight(m);
  lnx::bind_peak(m);
  lnx::bind_runtime(m);
  lnx::bind_cuda(m);
  lnx::bind_train(m);
}
