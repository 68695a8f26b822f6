// Splits an image into the planes that strided convolutions read (see StageArgs).
#pragma once

#include <cstring>

#include "cpu/kernels/tile.h"

namespace lnx::LNX_ISA {

// Columns x * stride_w + shift of `row` for all x of the plane's width; columns of padding must be
// in memory.
LNX_INLINE void stage_row(const StageArgs& a, const float* row, int shift, float* out) {
  const float* from = row + shift;
  int x = 0;
  if (a.stride_w == 1) {
    for (; x < a.width; x += kLanes) store_part(out + x, load(from + x), part(a.row_floats - x));
  } else if (a.stride_w == 2) {
    for (; x < a.width; x += kLanes)
      store_part(out + x, even(load(from + 2 * x), load(from + 2 * x + kLanes)),
                 part(a.row_floats - x));
  } else {
    for (; x < a.width; ++x) out[x] = from[static_cast<int64_t>(x) * a.stride_w];
  }
  for (; x < a.row_floats; ++x) out[x] = 0.0f;
}

static void stage(const StageArgs& a, int begin, int end) {
  float* padded_row = a.row + a.margin;  // the margins at both sides of it stay zero
  for (int c = begin; c < end; ++c) {
    const float* in = a.in + c * a.in_stride;
    for (int i = 0; i < a.num_phases; ++i) {
      float* planes = a.out + c * a.out_stride + i * a.num_shifts * a.plane_stride;
      for (int j = 0; j < a.rows; ++j) {
        const int64_t y = static_cast<int64_t>(j + a.first_rows[i]) * a.stride_h + a.phases[i];
        const bool inside = y >= 0 && y < a.in_height;
        const float* row = in + y * a.in_row_stride;
        if (inside && a.padded) {
          std::memcpy(padded_row, row, sizeof(float) * a.in_width);
          row = padded_row;
        }
        for (int s = 0; s < a.num_shifts; ++s) {
          float* out = planes + s * a.plane_stride + static_cast<int64_t>(j) * a.row_stride;
          if (inside) {
            stage_row(a, row, a.shifts[s], out);
          } else {
            std::memset(out, 0, sizeof(float) * a.row_floats);
          }
        }
      }
    }
  }
}

}  // namespace lnx::LNX_ISA
