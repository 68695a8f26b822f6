// Launches form (a).
#include <algorithm>

#include "cuda/config.h"
#include "cuda/host.h"
#include "cuda/lists/conv3x3.cuh"
#include "cuda/lists/pointwise.cuh"
#include "cuda/lists/window.cuh"

// Tiles: rows x columns of a thread.
#define LNX_LISTS_KERNELS(type, T, vector, two_vectors)                                      \
  LNX_KERNEL(lnx_##type##_gconv3x3s1_4x##vector##__cuda, lnx::ListsConfig<T>::kThreads,      \
             lnx::ListsParams, conv3x3_lists<T>)                                             \
  LNX_KERNEL(lnx_##type##_gconv1x1s1_1x##two_vectors##__cuda, lnx::ListsConfig<T>::kThreads, \
             lnx::ListsParams, pointwise_lists<T>)                                           \
  LNX_KERNEL(lnx_##type##_gconv_1x4__cuda, lnx::ListsConfig<T>::kThreads, lnx::ListsParams,  \
             window_lists<T>)

LNX_LISTS_KERNELS(f32, float, 4, 8)
LNX_LISTS_KERNELS(f16, lnx::Half, 8, 16)
LNX_LISTS_KERNELS(bf16, lnx::BFloat, 8, 16)

namespace lnx {
namespace {

using Kernel = void (*)(ListsParams);

// By CudaType: 3x3, pointwise, any window.
constexpr Kernel kKernels[3][3] = {
    {lnx_f32_gconv3x3s1_4x4__cuda, lnx_f32_gconv1x1s1_1x8__cuda, lnx_f32_gconv_1x4__cuda},
    {lnx_f16_gconv3x3s1_4x8__cuda, lnx_f16_gconv1x1s1_1x16__cuda, lnx_f16_gconv_1x4__cuda},
    {lnx_bf16_gconv3x3s1_4x8__cuda, lnx_bf16_gconv1x1s1_1x16__cuda, lnx_bf16_gconv_1x4__cuda},
};

// A window's kernel, and how many threads its pixels are for; `each` of them per thread in turn.
struct Choice {
  int kernel;
  int64_t units;
  int each;
};

template <typename T>
Choice choose(const Geometry& g) {
  using Config = ListsConfig<T>;
  const int64_t vectors = ceil_div(g.out_width, Config::kVector);
  if (g.kernel_h == 3 && g.kernel_w == 3 && g.stride_h == 1 && g.stride_w == 1 &&
      g.dilation_h == 1 && g.dilation_w == 1 && g.pad_w == 1)
    return {0, g.images * ceil_div(g.out_height, Config::kRows) * vectors, 1};
  if (is_pointwise(g)) return {1, g.images * int64_t{g.out_height} * vectors, Config::kVectors};
  return {2, int64_t{g.images} * g.out_height * g.out_width, Config::kPixels};
}

// What a warp stages at once in shared memory.
struct StageSize {
  int length, slices, floats, bytes;
};

StageSize stage_size(int64_t length) {
  if (length < 1 || length > 1 << 15)
    throw std::invalid_argument("slices must have 1 to 2^15 weights");
  StageSize s{};
  s.length = static_cast<int>(length);
  s.slices = std::max(1, ListsConfig<float>::kStage / s.length);
  // The first slice begins up to 3 floats behind an aligned address.
  s.floats = static_cast<int>(ceil_div(s.slices * s.length + 3, 4)) * 4;
  s.bytes = (s.floats + static_cast<int>(ceil_div(s.slices, 4)) * 4) * 4;
  return s;
}

}  // namespace

int64_t cuda_lists_shared_bytes(int64_t length) {
  return ListsConfig<float>::kFilters * int64_t{stage_size(length).bytes};
}

void cuda_conv_lists(const CudaConv& conv, const CudaLists& weight) {
  using Config = ListsConfig<float>;
  if (weight.slice_channels < 1 ||
      (weight.slice_channels > 1 && conv.kernel[0] * conv.kernel[1] > 1))
    throw std::invalid_argument("slices have several channels in 1x1 kernels only");
  ListsParams p{};
  p.g = to_geometry(conv);
  p.out = to_output(conv, p.g);
  p.input = conv.input;
  p.aligned = input_alignment(conv, p.g) == 16;
  p.filter_ptr = weight.filter_ptr;
  p.channel = weight.channel;
  p.values = weight.values;
  p.order = weight.order;
  const StageSize stage = stage_size(weight.slice_channels * conv.kernel[0] * conv.kernel[1]);
  p.slice_channels = static_cast<int>(weight.slice_channels);
  p.length = stage.length;
  p.stage_slices = stage.slices;
  p.stage_floats = stage.floats;
  p.stage_bytes = stage.bytes;

  const Choice choice = conv.type == CudaType::kFloat32 ? choose<float>(p.g) : choose<Half>(p.g);
  const int64_t threads = ceil_div(choice.units, choice.each);
  p.team = 1;
  while (p.team < kWarp && p.team < threads) p.team *= 2;
  const dim3 grid(static_cast<unsigned>(ceil_div(threads, p.team)),
                  static_cast<unsigned>(ceil_div(p.g.filters, Config::kFilters)));
  launch(kKernels[static_cast<int>(conv.type)][choice.kernel], grid, Config::kThreads,
         Config::kFilters * p.stage_bytes, conv.stream, p);
}

}  // namespace lnx
