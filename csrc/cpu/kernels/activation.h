// Activations on vectors, and on what is in memory.
// Included once per instruction set, after its vec_*.h.
#pragma once

#include <cstring>

#include "cpu/kernels.h"

#define LNX_UNROLL _Pragma("GCC unroll 32")

namespace lnx::LNX_ISA {

// exp(x) to within 2 units in the last place; x is first limited to where the result is a normal
// number. exp(x) = 2^n * exp(r) with n an integer and |r| <= ln(2) / 2, where a polynomial of
// degree 6 is as good as the format (its coefficients are those of Cephes' expf).
LNX_INLINE Vec exp(Vec x) {
  x = min(set1(88.0f), max(set1(-87.0f), x));
  // Adding 1.5 * 2^23 leaves n, rounded, in the low bits.
  const Vec shift = set1(12582912.0f);
  const Vec shifted = fma(x, set1(1.44269504f), shift);
  const Vec n = sub(shifted, shift);
  // ln(2) in two parts, the first so short that n times it is exact.
  Vec r = fma(n, set1(-0.693359375f), x);
  r = fma(n, set1(2.12194440e-4f), r);
  Vec p = set1(1.9875691500e-4f);
  p = fma(p, r, set1(1.3981999507e-3f));
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  p = add(fma(p, mul(r, r), r), set1(1.0f));
  return scale_by_power(p, shifted);
}

LNX_INLINE Vec relu(Vec x) { return max(zero(), x); }
LNX_INLINE Vec relu6(Vec x) { return min(set1(6.0f), relu(x)); }

struct Relu {
  LNX_INLINE_MEMBER Vec operator()(Vec x) const { return relu(x); }
};
struct Relu6 {
  LNX_INLINE_MEMBER Vec operator()(Vec x) const { return relu6(x); }
};
struct HardSigmoid {
  LNX_INLINE_MEMBER Vec operator()(Vec x) const {
    return mul(relu6(add(x, set1(3.0f))), set1(1.0f / 6.0f));
  }
};
struct HardSwish {
  LNX_INLINE_MEMBER Vec operator()(Vec x) const { return mul(x, HardSigmoid()(x)); }
};
struct Sigmoid {
  LNX_INLINE_MEMBER Vec operator()(Vec x) const {
    const Vec one = set1(1.0f);
    return div(one, add(one, exp(sub(zero(), x))));
  }
};
struct Silu {
  LNX_INLINE_MEMBER Vec operator()(Vec x) const {
    // Below -87, where exp ends, the result is as good as zero, but x could be anything.
    x = max(set1(-87.0f), x);
    return div(x, add(set1(1.0f), exp(sub(zero(), x))));
  }
};
// erfc(z) for z >= 0 by the Chebyshev fit of Numerical Recipes, 6.2: within 1.2e-7 of its value but
// for the rounding of exp's argument. Phi(x) = erfc(-x / sqrt(2)) / 2, by symmetry for x > 0.
struct Gelu {
  LNX_INLINE_MEMBER Vec operator()(Vec x) const {
    const Vec one = set1(1.0f), z = mul(max(x, sub(zero(), x)), set1(0.70710678f));
    const Vec t = div(one, fma(z, set1(0.5f), one));
    Vec p = set1(0.17087277f);
    p = fma(p, t, set1(-0.82215223f));
    p = fma(p, t, set1(1.48851587f));
    p = fma(p, t, set1(-1.13520398f));
    p = fma(p, t, set1(0.27886807f));
    p = fma(p, t, set1(-0.18628806f));
    p = fma(p, t, set1(0.09678418f));
    p = fma(p, t, set1(0.37409196f));
    p = fma(p, t, set1(1.00002368f));
    p = fma(p, t, set1(-1.26551223f));
    const Vec tail = mul(mul(t, exp(sub(p, mul(z, z)))), set1(0.5f));
    // x * Phi(x) is x - x * tail above zero, x * tail below: max(x, 0) - |x| * tail.
    return sub(relu(x), mul(max(x, sub(zero(), x)), tail));
  }
};
struct GeluTanh {
  LNX_INLINE_MEMBER Vec operator()(Vec x) const {
    // Below -20 the gate is as good as zero, but x could be anything.
    x = max(set1(-20.0f), x);
    const Vec cubic = fma(mul(x, x), mul(x, set1(0.044715f)), x);
    return mul(x, Sigmoid()(mul(cubic, set1(1.5957691f))));
  }
};
struct LeakyRelu {
  Vec slope;
  LNX_INLINE_MEMBER Vec operator()(Vec x) const { return add(relu(x), mul(slope, min(zero(), x))); }
};
struct Clip {
  Vec least, most;
  LNX_INLINE_MEMBER Vec operator()(Vec x) const { return min(most, max(least, x)); }
};
struct Same {
  LNX_INLINE_MEMBER Vec operator()(Vec x) const { return x; }
};

// Calls fn(function on vectors).
template <typename Fn>
LNX_INLINE void with_activation(Activation activation, Fn fn, float p0 = 0.0f, float p1 = 0.0f) {
  switch (activation) {
    case Activation::kNone:
      return fn(Same());
    case Activation::kRelu:
      return fn(Relu());
    case Activation::kRelu6:
      return fn(Relu6());
    case Activation::kHardSwish:
      return fn(HardSwish());
    case Activation::kSilu:
      return fn(Silu());
    case Activation::kHardSigmoid:
      return fn(HardSigmoid());
    case Activation::kSigmoid:
      return fn(Sigmoid());
    case Activation::kGelu:
      return fn(Gelu());
    case Activation::kGeluTanh:
      return fn(GeluTanh());
    case Activation::kLeakyRelu:
      return fn(LeakyRelu{set1(p0)});
    case Activation::kClip:
      return fn(Clip{set1(p0), set1(p1)});
  }
}

// Whether an activation is so short that every kernel has it inline; the others run over a tile
// after it was stored, while it is in the first-level cache, so that the kernels stay small.
LNX_INLINE bool is_inline(Activation activation) { return activation <= Activation::kRelu6; }

// Applies an activation to `rows` rows of `cols` vectors, rows `step` floats apart; bits of `mask`
// say which of them are pixels, the first at bit `rest`, and all others become zero.
[[gnu::noinline]] static void activate_tile(float* out, const uint8_t* mask, int64_t rest, int rows,
                                            int cols, int64_t step, Activation activation) {
  with_activation(activation, [&](auto function) LNX_LAMBDA {
    for (int r = 0; r < rows; ++r)
      for (int v = 0; v < cols; ++v) {
        const int64_t p = r * step + v * kLanes;
        store(out + p, keep(function(load(out + p)), mask, rest + p));
      }
  });
}

// Applies an activation to `count` floats, and to nothing after them.
static void activate(float* x, int64_t count, Activation activation) {
  if (activation == Activation::kNone) return;
  with_activation(activation, [&](auto function) LNX_LAMBDA {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) store(x + i, function(load(x + i)));
    if (i == count) return;
    float lanes[kLanes] = {};
    std::memcpy(lanes, x + i, sizeof(float) * (count - i));
    store(lanes, function(load(lanes)));
    std::memcpy(x + i, lanes, sizeof(float) * (count - i));
  });
}

}  // namespace lnx::LNX_ISA
