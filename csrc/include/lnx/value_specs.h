// What the steps beyond convolutions do.
#pragma once

#include <cstdint>
#include <vector>

#include "lnx/image.h"
#include "lnx/row_kind.h"
#include "lnx/view.h"

namespace lnx {

// in and out of a transposed convolution. `window` is that of the convolution which would take
// `out` to `in`.
struct ConvTransposeSpec {
  Image in, out;
  Window window;
  std::vector<float> bias;  // one a filter
};

// Along one axis of a pooling: output pixel i reads begin[i], begin[i] + step, ... below end[i] of
// the input, all inside of it; a mean divides by count[i].
struct WindowAxis {
  std::vector<int32_t> begin, end, count;
  int step = 1;
};

struct WindowPoolSpec {
  Image in, out;
  bool average;  // else the maximum
  WindowAxis rows, columns;
};

// Along one axis of a resizing: output pixel i is low[i] and high[i] of the input, the latter with
// weight share[i], the former with the rest.
struct BlendAxis {
  std::vector<int32_t> low, high;
  std::vector<float> share;
};

struct BlendSpec {
  Image in, out;
  BlendAxis rows, columns;
};

// The axes of a value that stay, and those over which it is combined; both views have its offset.
struct ReduceSpec {
  RowKind kind;       // kAdd, kMax or kMin
  bool mean;          // whether sums are divided by their length
  bool last_is_kept;  // whether the value's last axis, whose elements follow each other, stays
  View kept, reduced;
  View out;  // with the axes of `kept`
};

// Element (i, j, ...) of `out` is that at in_offset + tables[0][i] + tables[1][j] + ... of the
// arena, or `fill` where one of these is below 0.
struct RearrangePiece {
  int64_t in_offset;
  std::vector<std::vector<int64_t>> tables;  // one for each axis of `out`
  View out;
  float fill;
};

}  // namespace lnx
