// Form (a), 3x3 kernels of stride 1 with one column of padding.
#pragma once

#include "cuda/epilogue.cuh"
#include "cuda/lists/team.cuh"

namespace lnx {

// A thread's pixels: kVector columns from x on, of kRows rows.
struct Patch {
  bool inside;
  int image, top, x, vector, vectors;
};

template <typename T>
__device__ __forceinline__ Patch find_patch(const ListsParams& p, const Lane& at) {
  using Config = ListsConfig<T>;
  const int vectors = (p.g.out_width + Config::kVector - 1) / Config::kVector;
  const int row_blocks = (p.g.out_height + Config::kRows - 1) / Config::kRows;
  const int unit = static_cast<int>(blockIdx.x) * p.team + at.member;
  const int rest = unit / vectors;
  const int vector = unit - rest * vectors, image = rest / row_blocks;
  return {image < p.g.images,       image,  (rest - image * row_blocks) * Config::kRows,
          vector * Config::kVector, vector, vectors};
}

// One input row under a thread's columns: in[1] up to in[kVector] with one 16-byte load where rows
// are aligned; in[0] and in[kVector + 1] are the neighbours' pixels, taken from their registers.
// Executed by whole warps, each lane with the same row of its own patch.
template <typename T>
__device__ __forceinline__ void load_row(const ListsParams& p, const Patch& patch, const Lane& at,
                                         const T* plane, int y, bool there,
                                         float (&in)[ListsConfig<T>::kVector + 2]) {
  constexpr int kVector = ListsConfig<T>::kVector;
  there = there && static_cast<unsigned>(y) < static_cast<unsigned>(p.g.height);
  const T* const row = plane + (there ? y * p.g.input.row + patch.x : 0);
  const int left_over = p.g.width - patch.x;
  if (p.aligned && there && left_over >= kVector) {
    const auto vector = load_global(reinterpret_cast<const Vec<T, kVector>*>(row));
#pragma unroll
    for (int i = 0; i < kVector; ++i) in[i + 1] = to_float(vector.item[i]);
  } else {
#pragma unroll
    for (int i = 0; i < kVector; ++i)
      in[i + 1] = there && i < left_over ? to_float(load_global(row + i)) : 0.0f;
  }
  in[0] = __shfl_up_sync(0xffffffffu, in[kVector], 1);
  in[kVector + 1] = __shfl_down_sync(0xffffffffu, in[1], 1);
  if (patch.vector == 0)
    in[0] = 0.0f;
  else if (at.member == 0)
    in[0] = there ? to_float(load_global(row - 1)) : 0.0f;
  if (left_over <= kVector)
    in[kVector + 1] = 0.0f;
  else if (at.member == p.team - 1)
    in[kVector + 1] = there ? to_float(load_global(row + kVector)) : 0.0f;
}

template <typename T>
__device__ __forceinline__ void conv3x3_lists(const ListsParams& p) {
  using Config = ListsConfig<T>;
  constexpr int kRows = Config::kRows, kVector = Config::kVector;
  const Lane at = this_lane(p);
  const uint32_t index = blockIdx.y * Config::kFilters + at.warp;
  if (index >= static_cast<uint32_t>(p.g.filters)) return;
  const uint32_t filter = load_global(p.order + index);
  const Patch patch = find_patch<T>(p, at);
  const T* const image =
      static_cast<const T*>(p.input) + (patch.inside ? patch.image * p.g.input.image : 0);

  float sums[kRows * kVector] = {};
  for_slices(p, at, filter, [&](const float* weights, uint32_t channel, bool mine) {
    const bool there = mine && patch.inside;
    const T* const plane = image + (there ? channel * p.g.input.channel : 0);
    float weight[9];
#pragma unroll
    for (int i = 0; i < 9; ++i) weight[i] = load_shared(weights + i);
#pragma unroll
    for (int r = 0; r < kRows + 2; ++r) {
      float in[kVector + 2];
      load_row<T>(p, patch, at, plane, patch.top + r - p.g.pad_h, there, in);
#pragma unroll
      for (int i = 0; i < 3; ++i) {
        const int out = r - i;
        if (out < 0 || out >= kRows) continue;
#pragma unroll
        for (int j = 0; j < 3; ++j) {
#pragma unroll
          for (int x = 0; x < kVector; ++x)
            sums[out * kVector + x] += in[x + j] * weight[i * 3 + j];
        }
      }
    }
  });

  add_teams(p, sums);
  if (!patch.inside || at.team != 0) return;
  const float bias = filter_bias(p.out, filter);
  const int64_t plane = patch.image * p.g.output.image + filter * p.g.output.channel + patch.x;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (patch.top + r >= p.g.out_height) break;
    float row[kVector];
#pragma unroll
    for (int x = 0; x < kVector; ++x) row[x] = sums[r * kVector + x];
    finish<T>(p.out, plane + (patch.top + r) * p.g.output.row,
              min(kVector, p.g.out_width - patch.x), bias, row);
  }
}

}  // namespace lnx
