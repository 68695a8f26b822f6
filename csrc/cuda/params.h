// What launchers hand to kernels.
#pragma once

#include <cstdint>

#include "lnx/cuda.h"

namespace lnx {

// Strides in elements; offsets within a plane have 32 bits.
struct Strides {
  int64_t image, channel;
  int row;
};

// A convolution in 32-bit numbers.
struct Geometry {
  int images, channels, height, width;
  int filters, out_height, out_width;
  int kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
  int group_filters, group_channels;
  Strides input, output;
};

// What happens to the sums.
struct OutputParams {
  void* data;
  const void* residual;  // or null
  const float* bias;     // or null
  Activation activation;
  bool aligned;  // rows of output and residual begin at multiples of 16 bytes
};

struct ListsParams {
  Geometry g;
  OutputParams out;
  const void* input;
  bool aligned;  // rows of the input begin at multiples of 16 bytes
  const uint32_t* filter_ptr;
  const uint32_t* channel;
  const float* values;
  const uint32_t* order;
  int slice_channels;
  int length;        // weights of a slice
  int stage_slices;  // slices that a warp stages at once
  int stage_floats;  // of a warp, for their weights
  int stage_bytes;   // of a warp, weights and channels
  // Lanes of a warp that compute other pixels, a power of two. Where an image has too few pixels,
  // the rest of the warp takes other slices of the same filter, and their sums are added up in the
  // end.
  int team;
};

struct BlocksParams {
  Geometry g;
  OutputParams out;
  const void* input;
  const uint32_t* order;
  const uint32_t* block_ptr;
  const int32_t* channel;
  const void* fragments;
  int tile_rows;  // output rows of a tile
  int tile_runs;  // runs of 8 pixels in a row of a tile; the product is the block's runs
  int tiles_x, tiles_y;
  int copy_bytes;                // of a copy: 16, 8, 4, or 2 where copies are synchronous
  int copies_per_row, in_rows;   // of a channel's part of the input tile
  int row_pitch, channel_pitch;  // of the input tile in shared memory, in elements
  int shift;                     // of the first column that is needed among those copied, in pixels
  int taps_per_step;             // taps whose weights are copied at once
};

}  // namespace lnx
