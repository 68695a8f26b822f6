// An image in the arena, and the window that moves over it.
#pragma once

#include <cstdint>

namespace lnx {

// Where an activation lies in the arena, in floats. Rows are followed by zeros up to row_stride,
// and rows of zeros lie between the channels; the executor zeroes the arena once and no step writes
// anything else there. A vector of n features is an image of one channel and one row, whose
// row_stride is n rounded up to 16.
struct Image {
  int64_t offset;  // of pixel (0, 0) of channel 0; a multiple of 16
  int channels;
  int height;
  int width;
  int row_stride;          // at least the width
  int64_t channel_stride;  // a multiple of 16
};

struct Window {
  int kernel_h, kernel_w;
  int stride_h, stride_w;
  int padding_h, padding_w;
  int dilation_h, dilation_w;
};

}  // namespace lnx
