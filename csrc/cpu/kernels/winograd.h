// Winograd's F(4, 3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016):
// four outputs from six inputs beside each other take 6 multiplications a row of weights in place
// of 12, at the points 0, 1, -1, 1/2, -2 and infinity. With these the rounding error is about
// twice that of the plain sum; with the usual 2 in place of 1/2 it is four times. Sums and
// differences of the inputs are made once for all filters, and slices that are zero stay zero, so
// nothing is lost on sparse weights.
#pragma once

#include "cpu/kernels/tile.h"

namespace lnx::LNX_ISA {

constexpr int kPoints = 6;
constexpr int kOutputs = 4;
constexpr int kWinogradWeights = 3 * kPoints;

// What six inputs become, `step` floats apart.
LNX_INLINE void store_transformed(float* out, int64_t step, const Vec* d) {
  const Vec a = sub(d[4], d[2]), b = sub(d[3], d[1]);
  const Vec half3 = set1(1.5f);
  store(out, fma(half3, b, add(sub(d[0], d[2]), a)));
  store(out + step, fma(half3, add(d[3], d[2]), add(a, b)));
  store(out + 2 * step, fma(half3, sub(d[3], d[2]), sub(a, b)));
  store(out + 3 * step, fma(set1(2.0f), b, a));
  store(out + 4 * step, fma(set1(-0.5f), b, a));
  store(out + 5 * step, fma(half3, a, sub(sub(d[5], d[3]), b)));
}

// The outputs from the sums of each point.
LNX_INLINE void outputs_of_sums(const Vec* m, Vec* y) {
  const Vec plus = add(m[1], m[2]), minus = sub(m[1], m[2]);
  y[0] = add(add(m[0], plus), add(m[3], m[4]));
  y[1] = fma(set1(-2.0f), m[4], fma(set1(0.5f), m[3], minus));
  y[2] = fma(set1(4.0f), m[4], fma(set1(0.25f), m[3], plus));
  y[3] = add(fma(set1(-8.0f), m[4], fma(set1(0.125f), m[3], minus)), m[5]);
}

LNX_INLINE Vec inline_activation(Activation activation, Vec v) {
  if (activation == Activation::kRelu) return relu(v);
  if (activation == Activation::kRelu6) return relu6(v);
  return v;
}

// Columns 4i, 4i + 1, 4i + 2 and 4i + 3 of the 4 * kLanes floats in four vectors, and back.
LNX_INLINE void part_by_four(const Vec* x, Vec* q) {
  const Vec evens0 = even(x[0], x[1]), evens1 = even(x[2], x[3]);
  const Vec odds0 = odd(x[0], x[1]), odds1 = odd(x[2], x[3]);
  q[0] = even(evens0, evens1);
  q[1] = even(odds0, odds1);
  q[2] = odd(evens0, evens1);
  q[3] = odd(odds0, odds1);
}
LNX_INLINE void join_four(const Vec* q, Vec* x) {
  const Vec evens0 = zip_low(q[0], q[2]), evens1 = zip_high(q[0], q[2]);
  const Vec odds0 = zip_low(q[1], q[3]), odds1 = zip_high(q[1], q[3]);
  x[0] = zip_low(evens0, odds0);
  x[1] = zip_high(evens0, odds0);
  x[2] = zip_low(evens1, odds1);
  x[3] = zip_high(evens1, odds1);
}

}  // namespace lnx::LNX_ISA
