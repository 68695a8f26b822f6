// Launches what prepares weights on the device.
#include <cmath>

#include "cuda/config.h"
#include "cuda/host.h"
#include "cuda/weights/arrange.cuh"
#include "cuda/weights/decode.cuh"

LNX_KERNEL(lnx_decode__cuda, 128, lnx::DecodeParams, decode_slices)
LNX_KERNEL(lnx_tf32x3_arrange__cuda, 128, lnx::CudaArrange, arrange_slices<lnx::Tf32x3>)
LNX_KERNEL(lnx_tf32_arrange__cuda, 128, lnx::CudaArrange, arrange_slices<lnx::Tf32>)
LNX_KERNEL(lnx_f16_arrange__cuda, 128, lnx::CudaArrange, arrange_slices<lnx::Direct<lnx::Half>>)
LNX_KERNEL(lnx_bf16_arrange__cuda, 128, lnx::CudaArrange, arrange_slices<lnx::Direct<lnx::BFloat>>)

namespace lnx {
namespace {

constexpr int kThreads = 128;

void require_filters(int64_t filters) {
  if (filters < 1 || filters > INT32_MAX)
    throw std::invalid_argument("expected 1 to 2^31 - 1 filters");
}

}  // namespace

void cuda_decode(int64_t filters, int64_t length, const uint32_t* filter_ptr,
                 const int16_t* latents, const int32_t* matrix, int exponent, const float* scale,
                 float* values, void* stream) {
  require_filters(filters);
  if (length < 1 || length > 1 << 15)
    throw std::invalid_argument("slices must have 1 to 2^15 weights");
  if (exponent < -126 || exponent > 126)
    throw std::invalid_argument("a decoder's exponent is within -126..126");
  const DecodeParams p{static_cast<int>(length),    filter_ptr, latents, matrix,
                       std::ldexp(1.0f, -exponent), scale,      values};
  launch(lnx_decode__cuda, dim3(static_cast<unsigned>(filters)), kThreads, 0, stream, p);
}

void cuda_arrange(const CudaArrange& arrange) {
  require_filters(arrange.filters);
  if (arrange.groups < 1 || arrange.filters % arrange.groups || arrange.channels % arrange.groups)
    throw std::invalid_argument("groups must divide channels and filters");
  if (arrange.taps < 1 || arrange.slice_channels < 1 ||
      arrange.taps * arrange.slice_channels > 1 << 15)
    throw std::invalid_argument("slices must have 1 to 2^15 weights");
  constexpr void (*kKernels[])(CudaArrange) = {lnx_tf32x3_arrange__cuda, lnx_tf32_arrange__cuda,
                                               lnx_f16_arrange__cuda, lnx_bf16_arrange__cuda};
  launch(kKernels[static_cast<int>(arrange.math)], dim3(static_cast<unsigned>(arrange.filters)),
         kThreads, 0, arrange.stream, arrange);
}

}  // namespace lnx
