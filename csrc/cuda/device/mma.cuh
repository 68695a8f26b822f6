// c += a * b on tensor cores, by one warp: 16 rows of a, 8 columns of b. With q = lane / 4 and
// r = lane % 4, a lane holds c[0], c[1] at row q, columns 2r and 2r + 1, and c[2], c[3] at row q
// + 8.
#pragma once

#include "cuda/device/types.cuh"

namespace lnx {

// 8 deep, float bits of TF32 values. a: (q, r), (q + 8, r), (q, r + 4), (q + 8, r + 4);
// b: (r, q), (r + 4, q), as (row, column).
__device__ __forceinline__ void mma_tf32(float (&c)[4], const uint32_t (&a)[4],
                                         const uint32_t (&b)[2]) {
#ifdef __CUDACC__
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  emulated::mma<8>(c, a, b, emulated::tf32_pairs);
#endif
}

// 16 deep, two values a register, the lower one in the lower half. a: (q, 2r), (q + 8, 2r),
// (q, 2r + 8), (q + 8, 2r + 8) and the next column each; b: (2r, q), (2r + 8, q) and the next row.
template <typename T>
__device__ __forceinline__ void mma_16bit(float (&c)[4], const uint32_t (&a)[4],
                                          const uint32_t (&b)[2]) {
#ifdef __CUDACC__
  if constexpr (std::is_same_v<T, Half>)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  emulated::mma<16>(c, a, b,
                    std::is_same_v<T, Half> ? emulated::half_pairs : emulated::bfloat_pairs);
#endif
}

}  // namespace lnx
