// Rows of floats that lie anywhere: what operators of any rank are made of.
#pragma once

#include "cpu/kernels/activation.h"
#include "cpu/kernels/tile.h"

namespace lnx::LNX_ISA {

template <RowKind kKind>
struct Kind {
  static constexpr RowKind value = kKind;
};

template <RowKind kKind>
LNX_INLINE float row_apply_one(float a, float b) {
  if (kKind == RowKind::kMax) return a > b ? a : b;
  if (kKind == RowKind::kMin) return a < b ? a : b;
  return a + b;
}

template <RowKind kKind>
LNX_INLINE Vec row_apply(Vec a, Vec b) {
  switch (kKind) {
    case RowKind::kAdd:
      return add(a, b);
    case RowKind::kSub:
      return sub(a, b);
    case RowKind::kMul:
      return mul(a, b);
    case RowKind::kDiv:
      return div(a, b);
    case RowKind::kMax:
      return max(a, b);
    case RowKind::kMin:
      return min(a, b);
  }
  return a;
}

// Calls fn with the kind as a type.
template <typename Fn>
LNX_INLINE void with_kind(RowKind kind, Fn fn) {
  switch (kind) {
    case RowKind::kAdd:
      return fn(Kind<RowKind::kAdd>());
    case RowKind::kSub:
      return fn(Kind<RowKind::kSub>());
    case RowKind::kMul:
      return fn(Kind<RowKind::kMul>());
    case RowKind::kDiv:
      return fn(Kind<RowKind::kDiv>());
    case RowKind::kMax:
      return fn(Kind<RowKind::kMax>());
    case RowKind::kMin:
      return fn(Kind<RowKind::kMin>());
  }
}

// out[i] = a[i * a_step] op b[i * b_step]; steps are 0 or 1. `out` may be `a` or `b`.
static void row_binary(RowKind kind, const float* a, int a_step, const float* b, int b_step,
                       float* out, int64_t count) {
  with_kind(kind, [&](auto k) LNX_LAMBDA {
    for (int64_t i = 0; i < count; i += kLanes) {
      const Part in = part(count - i);
      const Vec x = a_step ? load_part(a + i, in) : set1(a[0]);
      const Vec y = b_step ? load_part(b + i, in) : set1(b[0]);
      store_part(out + i, row_apply<decltype(k)::value>(x, y), in);
    }
  });
}

// out[i] = activation(x[i] * scale + shift).
static void row_affine(const float* x, float scale, float shift, float* out, int64_t count,
                       Activation activation) {
  with_activation(activation, [&](auto function) LNX_LAMBDA {
    for (int64_t i = 0; i < count; i += kLanes) {
      const Part in = part(count - i);
      store_part(out + i, function(fma(load_part(x + i, in), set1(scale), set1(shift))), in);
    }
  });
}

// y[i] += w * x[i].
static void row_axpy(const float* x, float w, float* y, int64_t count) {
  const Vec factor = set1(w);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(y + i, fma(factor, load(x + i), load(y + i)));
  if (i == count) return;
  const Part in = part(count - i);
  store_part(y + i, fma(factor, load_part(x + i, in), load_part(y + i, in)), in);
}

// Sum, maximum or minimum of `count` >= 1 floats.
static float row_reduce(RowKind kind, const float* x, int64_t count) {
  float result = x[0];
  with_kind(kind, [&](auto k) LNX_LAMBDA {
    constexpr RowKind kKind = decltype(k)::value;
    int64_t i = 0;
    float lanes[kLanes];
    if (count >= kLanes) {
      Vec acc = load(x);
      for (i = kLanes; i + kLanes <= count; i += kLanes) acc = row_apply<kKind>(acc, load(x + i));
      store(lanes, acc);
      result = lanes[0];
      for (int v = 1; v < kLanes; ++v) result = row_apply_one<kKind>(result, lanes[v]);
    } else {
      i = 1;
    }
    for (; i < count; ++i) result = row_apply_one<kKind>(result, x[i]);
  });
  return result;
}

// out[i] = exp(x[i] - m[i * m_step]).
static void row_exp(const float* x, const float* m, int m_step, float* out, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const Part in = part(count - i);
    const Vec shift = m_step ? load_part(m + i, in) : set1(m[0]);
    store_part(out + i, exp(sub(load_part(x + i, in), shift)), in);
  }
}

}  // namespace lnx::LNX_ISA
