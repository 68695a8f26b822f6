// Form (a), any kernel, stride, padding and dilation.
#pragma once

#include "cuda/epilogue.cuh"
#include "cuda/lists/team.cuh"

namespace lnx {

// An output pixel, and where its window begins in the input.
struct Pixel {
  bool inside;
  int top, left;
  int64_t input, output;  // of the image; of the pixel in the filter's plane
};

__device__ __forceinline__ Pixel find_pixel(const ListsParams& p, int index) {
  const int plane = p.g.out_height * p.g.out_width;
  const int image = index / plane, pixel = index - image * plane;
  const int y = pixel / p.g.out_width, x = pixel - y * p.g.out_width;
  if (image >= p.g.images) return {false, 0, 0, 0, 0};
  return {true, y * p.g.stride_h - p.g.pad_h, x * p.g.stride_w - p.g.pad_w,
          image * p.g.input.image, image * p.g.output.image + y * p.g.output.row + x};
}

template <typename T>
__device__ __forceinline__ void window_lists(const ListsParams& p) {
  using Config = ListsConfig<T>;
  constexpr int kPixels = Config::kPixels;
  const Lane at = this_lane(p);
  const uint32_t index = blockIdx.y * Config::kFilters + at.warp;
  if (index >= static_cast<uint32_t>(p.g.filters)) return;
  const uint32_t filter = load_global(p.order + index);
  const int group_end = (static_cast<int>(filter) / p.g.group_filters + 1) * p.g.group_channels;
  const unsigned height = p.g.height, width = p.g.width;
  Pixel pixel[kPixels];
#pragma unroll
  for (int i = 0; i < kPixels; ++i)
    pixel[i] = find_pixel(p, (static_cast<int>(blockIdx.x) * kPixels + i) * p.team + at.member);

  const T* const input = static_cast<const T*>(p.input);
  float sums[kPixels] = {};
  for_slices(p, at, filter, [&](const float* weights, uint32_t channel, bool mine) {
    const int there = mine ? min(p.slice_channels, group_end - static_cast<int>(channel)) : 0;
    for (int c = 0; c < there; ++c) {
      const T* const plane = input + (channel + c) * p.g.input.channel;
      for (int i = 0; i < p.g.kernel_h; ++i) {
        for (int j = 0; j < p.g.kernel_w; ++j) {
          const float weight = load_shared(weights++);
#pragma unroll
          for (int k = 0; k < kPixels; ++k) {
            const int y = pixel[k].top + i * p.g.dilation_h;
            const int x = pixel[k].left + j * p.g.dilation_w;
            if (pixel[k].inside && static_cast<unsigned>(y) < height &&
                static_cast<unsigned>(x) < width)
              sums[k] += to_float(load_global(plane + pixel[k].input + y * p.g.input.row + x)) *
                         weight;
          }
        }
      }
    }
  });

  add_teams(p, sums);
  if (at.team != 0) return;
  const float bias = filter_bias(p.out, filter);
#pragma unroll
  for (int k = 0; k < kPixels; ++k) {
    const float sum[1] = {sums[k]};
    if (pixel[k].inside)
      finish<T>(p.out, pixel[k].output + filter * p.g.output.channel, 1, bias, sum);
  }
}

}  // namespace lnx
