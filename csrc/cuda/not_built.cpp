// Stands in for the CUDA sources where there is no nvcc.
#include "lnx/cuda.h"

namespace lnx {
namespace {

[[noreturn]] void refuse() { throw CudaError(cuda_status().detail); }

}  // namespace

CudaReport cuda_status(int) {
  return {CudaStatus::kNotBuilt,
          "this build of lilnetx has no CUDA kernels: build it where nvcc is on the path, without "
          "LILNETX_CUDA=OFF"};
}

void cuda_conv_lists(const CudaConv&, const CudaLists&) { refuse(); }
void cuda_conv_blocks(const CudaConv&, const CudaBlocks&) { refuse(); }
bool cuda_blocks_fit(const CudaConv&, CudaMath) { refuse(); }
CudaTile cuda_blocks_tile(const CudaConv&, CudaMath, int64_t, int, int64_t) { refuse(); }
int64_t cuda_lists_shared_bytes(int64_t) { refuse(); }
void cuda_decode(int64_t, int64_t, const uint32_t*, const int16_t*, const int32_t*, int,
                 const float*, float*, void*) {
  refuse();
}
void cuda_arrange(const CudaArrange&) { refuse(); }
int64_t cuda_fragment_bytes(CudaMath, int64_t, int64_t) { refuse(); }

}  // namespace lnx
