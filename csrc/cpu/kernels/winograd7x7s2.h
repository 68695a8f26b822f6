// 7x7, stride 2, padding 3, dense, by Winograd's minimal filtering along the rows. Odd columns of
// the input lie under four taps and even ones under three: y[x] = sum a[i] odd[x - 2 + i] + sum
// b[i] even[x - 1 + i]. Two outputs beside each other take five products of the four taps, at the
// points 0, 1, -1, 2 and infinity, and four of the three taps, at 0, 1, -1 and infinity: 9 in place
// of 14. Products of one point have one sum, whichever taps they are of:
//   y0 = m(0) + m(1) + m(-1) + m(2)
//   y1 = m(1) - m(-1) + 2 m(2) + m(infinity)
//
// A band of rows is transformed at a time, so that what it becomes stays in the second-level cache.
// Lanes are pairs of columns. Two rows of output make a whole number of vectors, so planes hold two
// rows beside each other, two rows of the input apart, and there is a plane for each remainder by 4
// of the first one's number: every tap is then aligned.
#pragma once

#include "cpu/kernels/tile.h"

namespace lnx::LNX_ISA {

// What becomes of the odd columns d[0] to d[4] around a pair, and of the even ones e[0] to e[3].
LNX_INLINE void transform7x7(const Vec* d, const Vec* e, Vec* to) {
  const Vec two = set1(2.0f);
  const Vec across = sub(d[3], d[1]);
  to[0] = fma(two, sub(d[0], d[2]), across);
  to[1] = sub(across, fma(two, d[1], sub(d[2], d[1])));
  to[2] = fma(two, sub(d[1], d[2]), sub(d[3], d[2]));
  to[3] = across;
  to[4] = fma(two, sub(d[1], d[3]), sub(d[4], d[2]));
  to[5] = sub(e[2], e[0]);
  to[6] = add(e[1], e[2]);
  to[7] = sub(e[2], e[1]);
  to[8] = sub(e[3], e[1]);
}

// Transforms the rows of input that the double rows begin to end of the output read.
LNX_INLINE void transform7x7_band(const Winograd7x7Args& a, int begin, int end) {
  const int pairs = a.width / 2;
  for (int c = 0; c < a.channels; ++c) {
    float* planes = a.planes + c * 4 * kWinograd7x7Rows * a.plane_stride;
    for (int y = 4 * begin - 4; y < 4 * end + 2; ++y) {
      // Where this row is the first of two, and where the second. Upwards from the top, each store
      // beyond the end of a row is made good by the next one.
      const int first = y + 4 - 4 * begin, second = first - 2;
      float* to[2] = {planes + (first % 4) * a.plane_stride + first / 4 * a.width,
                      planes + (second & 3) * a.plane_stride + second / 4 * a.width + pairs};
      const int from = first / 4 < end - begin + 1 ? 0 : 1, until = second >= 0 ? 2 : 1;
      const bool inside = y >= 0 && y < a.in_height;
      if (inside)
        std::memcpy(a.row, a.in + c * a.in_stride + static_cast<int64_t>(y) * a.in_row_stride,
                    sizeof(float) * a.in_width);
      // Columns 4p to 4p + 3 of the pairs p.
      const auto phases = [&](int pair, Vec* q) LNX_LAMBDA {
        const float* x = a.row + 4 * pair;
        const Vec low0 = load(x), low1 = load(x + kLanes), high0 = load(x + 2 * kLanes),
                  high1 = load(x + 3 * kLanes);
        const Vec evens0 = even(low0, low1), evens1 = even(high0, high1);
        const Vec odds0 = odd(low0, low1), odds1 = odd(high0, high1);
        q[0] = even(evens0, evens1);
        q[1] = even(odds0, odds1);
        q[2] = odd(evens0, evens1);
        q[3] = odd(odds0, odds1);
      };
      Vec before[4] = {zero(), zero(), zero(), zero()}, q[4], after[4];
      phases(0, q);
      for (int p = 0; p < pairs; p += kLanes) {
        Vec made[kWinograd7x7Rows];
        if (inside) {
          phases(p + kLanes, after);
          const Vec d[5] = {left(before[1], q[1]), left(before[3], q[3]), q[1], q[3],
                            right(q[1], after[1])};
          const Vec e[4] = {left(before[2], q[2]), q[0], q[2], right(q[0], after[0])};
          transform7x7(d, e, made);
          LNX_UNROLL
          for (int i = 0; i < 4; ++i) {
            before[i] = q[i];
            q[i] = after[i];
          }
        } else {
          LNX_UNROLL
          for (int s = 0; s < kWinograd7x7Rows; ++s) made[s] = zero();
        }
        for (int i = from; i < until; ++i) {
          LNX_UNROLL
          for (int s = 0; s < kWinograd7x7Rows; ++s)
            store(to[i] + p + 4 * s * a.plane_stride, made[s]);
        }
      }
    }
  }
}

// The sums of one point, for kWinograd7x7Filters filters and kVectors vectors of pairs.
template <int kVectors>
LNX_INLINE void sum_point(const float* planes, const int32_t* taps, int count, const float* weights,
                          float* sums) {
  Vec acc[kWinograd7x7Filters][kVectors];
  LNX_UNROLL
  for (int f = 0; f < kWinograd7x7Filters; ++f) {
    LNX_UNROLL
    for (int v = 0; v < kVectors; ++v) acc[f][v] = zero();
  }
  for (int k = 0; k < count; ++k, weights += kWinograd7x7Filters) {
    const float* x = planes + taps[k];
    Vec d[kVectors];
    LNX_UNROLL
    for (int v = 0; v < kVectors; ++v) d[v] = in_register(load(x + v * kLanes));
    LNX_UNROLL
    for (int f = 0; f < kWinograd7x7Filters; ++f) {
      const Vec w = in_register(set1(weights[f]));
      LNX_UNROLL
      for (int v = 0; v < kVectors; ++v) acc[f][v] = fma(w, d[v], acc[f][v]);
    }
  }
  LNX_UNROLL
  for (int f = 0; f < kWinograd7x7Filters; ++f) {
    LNX_UNROLL
    for (int v = 0; v < kVectors; ++v) store(sums + (f * kVectors + v) * kLanes, acc[f][v]);
  }
}

template <int kVectors>
void winograd7x7_tile(const Winograd7x7Args& a, const float* planes, int64_t position) {
  constexpr int kSums = kWinograd7x7Filters * kVectors * kLanes;
  const float* weights = a.weights;
  for (int filter = 0; filter < a.filters; filter += kWinograd7x7Filters) {
    const int32_t* taps = a.taps;
    for (int point = 0; point < 5; ++point) {
      sum_point<kVectors>(planes, taps, a.counts[point], weights, a.sums + point * kSums);
      weights += a.counts[point] * kWinograd7x7Filters;
      taps += a.counts[point];
    }
    for (int f = 0; f < kWinograd7x7Filters && filter + f < a.filters; ++f) {
      const Vec bias = set1(a.bias[filter + f]);
      const int64_t start = (filter + f) * a.out_stride + position;
      for (int v = 0; v < kVectors; ++v) {
        const float* sums = a.sums + (f * kVectors + v) * kLanes;
        const Vec plus = load(sums + kSums), minus = load(sums + 2 * kSums);
        const Vec twice = load(sums + 3 * kSums);
        const Vec y0 = add(add(add(load(sums), bias), twice), add(plus, minus));
        const Vec y1 =
            add(fma(set1(2.0f), twice, add(load(sums + 4 * kSums), bias)), sub(plus, minus));
        Vec y[2] = {zip_low(y0, y1), zip_high(y0, y1)};
        float* out = a.out + start + 2 * v * kLanes;
        LNX_UNROLL
        for (int i = 0; i < 2; ++i) {
          if (a.residual) y[i] = add(y[i], load(a.residual + start + (2 * v + i) * kLanes));
          if (a.activation == Activation::kRelu) y[i] = relu(y[i]);
          if (a.activation == Activation::kRelu6) y[i] = relu6(y[i]);
          store(out + i * kLanes, y[i]);
        }
      }
      if (!is_inline(a.activation)) activate(a.out + start, 2 * kVectors * kLanes, a.activation);
    }
  }
}

static void conv_winograd7x7s2(const Winograd7x7Args& a, int begin, int end) {
  static constexpr decltype(&winograd7x7_tile<1>) table[kWinograd7x7Vectors] = {
      winograd7x7_tile<1>, winograd7x7_tile<2>, winograd7x7_tile<3>};
  transform7x7_band(a, begin, end);
  const int64_t first = static_cast<int64_t>(begin) * a.width / kLanes;
  const int64_t vectors = static_cast<int64_t>(end - begin) * a.width / kLanes;
  const int64_t tiles = (vectors + kWinograd7x7Vectors - 1) / kWinograd7x7Vectors;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t from = split(vectors, tiles, i), to = split(vectors, tiles, i + 1);
    table[to - from - 1](a, a.planes + from * kLanes, 2 * (first + from) * kLanes);
  }
}

}  // namespace lnx::LNX_ISA
