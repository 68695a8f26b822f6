// Form (a), any kernel, stride, padding and dilation.
#pragma once

#include "cuda/epilogue.cuh"
#include "cuda/lists/team.cuh"

namespace lnx {

// An output pixel.
struct Pixel {
  bool inside;
  int image, y, x;
};

__device__ __forceinline__ Pixel find_pixel(const ListsParams& p, int index) {
  const int plane = p.g.out_height * p.g.out_width;
  const int image = index / plane, pixel = index - image * plane;
  const int y = pixel / p.g.out_width, x = pixel - y * p.g.out_width;
  return {image < p.g.images, image, y, x};
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
  const int first = static_cast<int>(blockIdx.x) * kPixels * p.team + at.member;
  // Where each pixel's window begins; beyond the last image, below all rows.
  int top[kPixels], left[kPixels];
  const T* image[kPixels];
#pragma unroll
  for (int k = 0; k < kPixels; ++k) {
    const Pixel pixel = find_pixel(p, first + k * p.team);
    top[k] = pixel.inside ? pixel.y * p.g.stride_h - p.g.pad_h : p.g.height;
    left[k] = pixel.x * p.g.stride_w - p.g.pad_w;
    image[k] = static_cast<const T*>(p.input) + (pixel.inside ? pixel.image * p.g.input.image : 0);
  }

  float sums[kPixels] = {};
  for_slices(p, at, filter, [&](const float* weights, uint32_t channel, bool mine) {
    const int there = mine ? min(p.slice_channels, group_end - static_cast<int>(channel)) : 0;
    for (int c = 0; c < there; ++c) {
      const int64_t plane = (channel + c) * p.g.input.channel;
      for (int i = 0; i < p.g.kernel_h; ++i) {
        for (int j = 0; j < p.g.kernel_w; ++j) {
          const float weight = load_shared(weights++);
#pragma unroll
          for (int k = 0; k < kPixels; ++k) {
            const int y = top[k] + i * p.g.dilation_h, x = left[k] + j * p.g.dilation_w;
            if (static_cast<unsigned>(y) < height && static_cast<unsigned>(x) < width)
              sums[k] += to_float(load_global(image[k] + plane + y * p.g.input.row + x)) * weight;
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
    const Pixel pixel = find_pixel(p, first + k * p.team);
    if (!pixel.inside) break;
    const float sum[1] = {sums[k]};
    finish<T>(p.out,
              pixel.image * p.g.output.image + filter * p.g.output.channel +
                  pixel.y * p.g.output.row + pixel.x,
              1, bias, sum);
  }
}

}  // namespace lnx
