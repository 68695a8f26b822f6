// What all launchers share: checks, 32-bit geometry, alignment, the launch itself.
#pragma once

#include <cuda_runtime.h>

#include <string>

#include "cuda/params.h"
#include "lnx/cuda.h"

namespace lnx {

// Throws CudaError, with what was being done, unless the call succeeded.
void cuda_check(cudaError_t error, const char* action);

// Checks sizes and pointers, and writes them as kernels take them. A pointwise convolution of
// stride 1 without padding over images without gaps becomes one of images of a single row. Throws
// std::invalid_argument.
Geometry to_geometry(const CudaConv& conv);

OutputParams to_output(const CudaConv& conv, const Geometry& g);

inline bool is_pointwise(const Geometry& g) {
  return g.kernel_h * g.kernel_w == 1 && g.stride_h == 1 && g.stride_w == 1 && g.pad_h == 0 &&
         g.pad_w == 0;
}

// The largest of 16, 8, 4 and 2 bytes to whose multiples all rows of the input begin.
int input_alignment(const CudaConv& conv, const Geometry& g);

int element_size(CudaType type);

// Bytes of shared memory that a block may have on the current device.
int shared_memory_limit();

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <typename Params>
void launch(void (*kernel)(Params), dim3 grid, int threads, int shared_bytes, void* stream,
            const Params& params) {
  if (shared_bytes > 48 << 10)
    cuda_check(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes),
        "asking for shared memory");
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  cuda_check(cudaLaunchKernelEx(&config, kernel, params), "starting a kernel");
}

}  // namespace lnx

// A kernel under its own name, which says type, operation, form, tile and backend. Four blocks of
// 128 threads on a multiprocessor leave each thread 128 registers.
#define LNX_KERNEL(name, threads, Params, body)            \
  extern "C" __global__ void __launch_bounds__(threads, 4) \
      name(const __grid_constant__ Params p) {             \
    lnx::body(p);                                          \
  }
