// Maximum and average pooling: first down the columns into a buffer of one row, then along it.
#pragma once

#include "cpu/kernels/tile.h"

namespace lnx::LNX_ISA {

template <bool kAverage>
LNX_INLINE Vec combine(Vec a, Vec b) {
  return kAverage ? add(a, b) : max(a, b);
}

template <bool kAverage>
LNX_INLINE float combine(float a, float b) {
  return kAverage ? a + b : (a > b ? a : b);
}

// Reduces the rows of the window of output row y into the buffer. Columns right of the image keep
// the neutral element.
template <bool kAverage>
LNX_INLINE void pool_columns(const PoolArgs& a, const float* in, int y, float neutral) {
  const int top = y * a.stride_h - a.padding_h;
  const int first = top > 0 ? top : 0;
  const int last = top + a.kernel_h < a.in_height ? top + a.kernel_h : a.in_height;
  const Vec none = set1(neutral);
  int x = 0;
  for (; x < a.in_width; x += kLanes) {
    Vec v = none;
    for (int row = first; row < last; ++row)
      v = combine<kAverage>(v, load(in + static_cast<int64_t>(row) * a.in_row_stride + x));
    store(a.buffer + x, v);
  }
  for (int tail = a.in_width; tail < x; ++tail) a.buffer[tail] = neutral;
}

// The window of output columns x up to x + kLanes.
template <bool kAverage>
LNX_INLINE Vec pool_row(const PoolArgs& a, int x, float neutral) {
  const float* from = a.buffer + static_cast<int64_t>(x) * a.stride_w - a.padding_w;
  Vec v = set1(neutral);
  if (a.stride_w == 1) {
    for (int kx = 0; kx < a.kernel_w; ++kx) v = combine<kAverage>(v, load(from + kx));
  } else if (a.stride_w == 2) {
    for (int kx = 0; kx < a.kernel_w; ++kx)
      v = combine<kAverage>(v, even(load(from + kx), load(from + kx + kLanes)));
  } else {
    float lanes[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      lanes[i] = neutral;
      if (x + i >= a.out_width) continue;
      for (int kx = 0; kx < a.kernel_w; ++kx)
        lanes[i] = combine<kAverage>(lanes[i], from[static_cast<int64_t>(i) * a.stride_w + kx]);
    }
    v = load(lanes);
  }
  return v;
}

template <bool kAverage>
static void pool_channels(const PoolArgs& a, int begin, int end) {
  const float neutral = kAverage ? 0.0f : -__builtin_inff();
  for (int c = begin; c < end; ++c) {
    for (int y = 0; y < a.out_height; ++y) {
      pool_columns<kAverage>(a, a.in + c * a.in_stride, y, neutral);
      float* out = a.out + c * a.out_stride + static_cast<int64_t>(y) * a.out_row_stride;
      for (int x = 0; x < a.out_width; x += kLanes) {
        Vec v = pool_row<kAverage>(a, x, neutral);
        if (kAverage) v = mul(v, mul(set1(a.row_scale[y]), load(a.column_scale + x)));
        store_part(out + x, v, part(a.out_width - x));
      }
    }
  }
}

static void pool(const PoolArgs& a, int begin, int end) {
  if (a.average) {
    pool_channels<true>(a, begin, end);
  } else {
    pool_channels<false>(a, begin, end);
  }
}

static void global_average(const float* in, int64_t in_stride, int64_t count, int pixels,
                           float* out, int64_t out_stride, int begin, int end) {
  for (int c = begin; c < end; ++c) {
    const float* x = in + c * in_stride;
    Vec acc[4] = {zero(), zero(), zero(), zero()};
    int64_t i = 0;
    for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
      LNX_UNROLL
      for (int v = 0; v < 4; ++v) acc[v] = add(acc[v], load(x + i + v * kLanes));
    }
    for (; i < count; i += kLanes) acc[0] = add(acc[0], load(x + i));
    out[c * out_stride] =
        sum(add(add(acc[0], acc[1]), add(acc[2], acc[3]))) / static_cast<float>(pixels);
  }
}

}  // namespace lnx::LNX_ISA
