// Elementwise kernels and linear layers.
#pragma once

#include "cpu/kernels/tile.h"

namespace lnx::LNX_ISA {

template <bool kAdd, bool kRelu>
LNX_INLINE void add_relu_loop(const float* a, const float* b, float* out, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) {
    Vec v = load(a + i);
    if (kAdd) v = add(v, load(b + i));
    if (kRelu) v = max(zero(), v);
    store(out + i, v);
  }
}

static void add_relu(const float* a, const float* b, float* out, int64_t count, bool relu) {
  if (b && relu) {
    add_relu_loop<true, true>(a, b, out, count);
  } else if (b) {
    add_relu_loop<true, false>(a, b, out, count);
  } else {
    add_relu_loop<false, true>(a, nullptr, out, count);
  }
}

LNX_INLINE float linear_end(const LinearArgs& a, int f, float y) {
  y += a.bias[f];
  return a.relu && y < 0.0f ? 0.0f : y;
}

// kRows rows of the weight at once share each load of x and hide the latency of the additions.
template <int kRows>
LNX_INLINE void linear_rows(const LinearArgs& a, int f) {
  const float* w = a.values + f * a.columns;
  Vec acc[kRows];
  LNX_UNROLL
  for (int r = 0; r < kRows; ++r) acc[r] = zero();
  for (int64_t c = 0; c < a.columns; c += kLanes) {
    const Vec x = load(a.x + c);
    LNX_UNROLL
    for (int r = 0; r < kRows; ++r) acc[r] = fma(load(w + r * a.columns + c), x, acc[r]);
  }
  LNX_UNROLL
  for (int r = 0; r < kRows; ++r) a.y[f + r] = linear_end(a, f + r, sum(acc[r]));
}

static void linear_dense(const LinearArgs& a, int begin, int end) {
  int f = begin;
  for (; f + 8 <= end; f += 8) linear_rows<8>(a, f);
  for (; f < end; ++f) linear_rows<1>(a, f);
}

static void linear_sparse(const LinearArgs& a, int begin, int end) {
  for (int f = begin; f < end; ++f) {
    float acc[4] = {0, 0, 0, 0};
    uint32_t k = a.ptr[f];
    const uint32_t last = a.ptr[f + 1];
    for (; k + 4 <= last; k += 4)
      for (int i = 0; i < 4; ++i) acc[i] += a.values[k + i] * a.x[a.channel[k + i]];
    for (; k < last; ++k) acc[0] += a.values[k] * a.x[a.channel[k]];
    a.y[f] = linear_end(a, f, (acc[0] + acc[1]) + (acc[2] + acc[3]));
  }
}

}  // namespace lnx::LNX_ISA
