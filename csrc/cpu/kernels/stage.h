// Splits an image into the planes that strided convolutions read (see StageArgs).
#pragma once

#include "cpu/kernels/tile.h"

namespace lnx::LNX_ISA {

// One row of a plane: columns x * stride + shift of `row`, which has `width` columns.
LNX_INLINE void stage_row(const StageArgs& a, const float* row, int shift, float* out) {
  int x = 0;
  if (a.zero_gaps && a.stride_w <= 2) {
    // The gaps beside the row hold the zeros of the padding; what lies beyond them ends up in
    // columns that are no pixels.
    const float* from = row + shift;
    if (a.stride_w == 1) {
      for (; x < a.width; x += kLanes) store_in_row(out + x, load(from + x), a.row_stride - x);
    } else {
      for (; x < a.width; x += kLanes)
        store_in_row(out + x, even(load(from + 2 * x), load(from + 2 * x + kLanes)),
                     a.row_stride - x);
    }
  } else {
    for (; x < a.width; ++x) {
      const int64_t column = static_cast<int64_t>(x) * a.stride_w + shift;
      out[x] = column >= 0 && column < a.in_width ? row[column] : 0.0f;
    }
  }
  for (; x < a.row_stride; ++x) out[x] = 0.0f;
}

static void stage(const StageArgs& a, int begin, int end) {
  for (int c = begin; c < end; ++c) {
    const float* in = a.in + c * a.in_stride;
    float* plane = a.out + c * a.out_stride;
    for (int i = 0; i < a.num_phases; ++i) {
      for (int s = 0; s < a.num_shifts; ++s, plane += a.plane_stride) {
        for (int j = 0; j < a.rows; ++j) {
          float* out = plane + static_cast<int64_t>(j) * a.row_stride;
          const int64_t y = static_cast<int64_t>(j + a.first_row) * a.stride_h + a.phases[i];
          if (y >= 0 && y < a.in_height) {
            stage_row(a, in + y * a.in_row_stride, a.shifts[s], out);
          } else {
            for (int x = 0; x < a.row_stride; ++x) out[x] = 0.0f;
          }
        }
      }
    }
  }
}

}  // namespace lnx::LNX_ISA
