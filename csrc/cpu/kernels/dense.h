// Elementwise kernels and linear layers.
#pragma once

#include "cpu/kernels/tile.h"

namespace lnx::LNX_ISA {

static void elementwise(const ElementwiseArgs& a, int begin, int end) {
  const auto run = [&](auto function) LNX_LAMBDA {
    for (int c = begin; c < end; ++c) {
      const float* x = a.a + c * a.stride;
      const float* y = a.b ? a.b + c * a.stride : nullptr;
      float* out = a.out + c * a.stride;
      for (int64_t i = 0; i < a.count; i += kLanes) {
        Vec v = load(x + i);
        if (y) v = add(v, load(y + i));
        store(out + i, keep(function(v), a.mask, i));
      }
    }
  };
  with_activation(a.activation, run, a.p0, a.p1);
}

// kRows rows of the weight at once share each load of x and hide the latency of the additions.
template <int kRows, typename Weight>
LNX_INLINE void linear_rows(const LinearArgs& a, const Weight* values, int f) {
  const Weight* w = values + f * a.columns;
  Vec acc[kRows];
  LNX_UNROLL
  for (int r = 0; r < kRows; ++r) acc[r] = zero();
  for (int64_t c = 0; c < a.columns; c += kLanes) {
    const Vec x = load(a.x + c);
    LNX_UNROLL
    for (int r = 0; r < kRows; ++r) acc[r] = fma(load(w + r * a.columns + c), x, acc[r]);
  }
  LNX_UNROLL
  for (int r = 0; r < kRows; ++r)
    a.y[f + r] = sum(acc[r]) * (a.codes ? a.code_unit[f + r] : 1.0f) + a.bias[f + r];
}

template <typename Weight>
LNX_INLINE void linear_range(const LinearArgs& a, const Weight* values, int begin, int end) {
  int f = begin;
  for (; f + 8 <= end; f += 8) linear_rows<8>(a, values, f);
  for (; f < end; ++f) linear_rows<1>(a, values, f);
}

static void linear_dense(const LinearArgs& a, int begin, int end) {
  if (a.codes) {
    linear_range(a, a.codes, begin, end);
  } else {
    linear_range(a, a.values, begin, end);
  }
  activate(a.y + begin, end - begin, a.activation);
}

static void linear_sparse(const LinearArgs& a, int begin, int end) {
  for (int f = begin; f < end; ++f) {
    Vec acc[2] = {zero(), zero()};
    uint32_t k = a.ptr[f];
    const uint32_t last = a.ptr[f + 1];
    for (; k + 2 * kLanes <= last; k += 2 * kLanes) {
      acc[0] = fma(load(a.values + k), gather(a.x, a.channel + k), acc[0]);
      acc[1] = fma(load(a.values + k + kLanes), gather(a.x, a.channel + k + kLanes), acc[1]);
    }
    float rest = 0.0f;
    for (; k < last; ++k) rest += a.values[k] * a.x[a.channel[k]];
    a.y[f] = sum(add(acc[0], acc[1])) + rest + a.bias[f];
  }
  activate(a.y + begin, end - begin, a.activation);
}

}  // namespace lnx::LNX_ISA
