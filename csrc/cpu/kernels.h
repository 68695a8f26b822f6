// What the executor hands to the kernels of one instruction set: raw pointers and sizes.
//
// Layout of activations: a channel is a plane of rows of row_stride floats; image column x is at
// index x, and the rest of the row is a zero gap. Rows of zeros lie above and below. So a tap of a
// convolution is one flat shift of the whole plane: column -1 is the gap of the row before. A value
// is addressed by its pixel (0, 0) of channel 0; kernels write zeros into the gaps of their outputs
// and leave the zero rows alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lnx/activation.h"
#include "lnx/isa.h"
#include "lnx/row_kind.h"

namespace lnx {

// A sparse convolution over `in`: an activation, or the planes that `stage` made of one. All but
// the 3x3 and 5x5 kernels for stride 2 read it with stride 1, and its rows have the output's
// row stride.
//
// Slices are stored by channel block, in it by unit (a filter, or a block of filters), in it by
// channel. Each block has its own order of units: the one at place i of block b is
// unit[b * units + i], its slices are ptr[b * units + i] up to ptr[b * units + i + 1]. A range of
// places that a kernel gets holds the same units in every block.
struct ConvArgs {
  const float* in;
  int64_t channel_stride;   // floats between channels of `in`
  const int32_t* taps;      // flat offset of each tap from the output position, num_taps of them
  int num_taps;             //
  const uint32_t* ptr;      // blocks * units + 1
  const uint32_t* unit;     // blocks * units
  const uint16_t* channel;  // input channel of each slice, less block * block_channels
  const float* values;      // num_taps weights a slice (times filter_block, innermost, if blocked)
  const int8_t* codes;     // or null; pointwise weights in place of values: times code_unit[filter]
  const float* code_unit;  // one a filter
  int blocks;
  int block_channels;
  int units;
  int filters;
  int height;      // rows of the output
  int width;       // pixels in one of its rows
  int in_width;    // of the input too
  int row_stride;  // floats; of the input too, unless in_row_stride differs (3x3 with stride 2)
  int in_row_stride;
  bool zero_sides;  // row kernels: padding is 1, and columns beside the image are not in memory
  int tile_rows;    // rows a tile (row kernels only)
  int tile;         // vectors a tile; of each row in row kernels
  bool ask_ahead;   // pointwise only: whether to ask for outputs before they are needed
  int part, parts;  // flat and Winograd's rows: which part of the tiles to compute, and of how many
  float* out;
  int64_t out_stride;     // floats between channels of `out` and of `residual`
  const float* residual;  // added before the activation, or null; may be `out`
  const float* bias;      // one a filter
  const uint8_t* mask;    // bit p % 8 of byte p / 8: whether flat output position p is a pixel
  Activation activation;
};

// Splits an image into planes in which a strided convolution is one with stride 1: plane
// (phase, kx), row j, column x holds row (j + first_row[phase]) * stride_h + phase, column
// x * stride_w + shift[kx] of the input, or zero outside of it.
struct StageArgs {
  const float* in;
  int64_t in_stride;
  int in_height, in_width, in_row_stride;
  int stride_h, stride_w;
  const int32_t* first_rows;  // one a phase
  const int32_t* phases;      // num_phases of them
  int num_phases;
  const int32_t* shifts;  // num_shifts of them
  int num_shifts;
  float* out;
  int64_t out_stride;    // floats between channels
  int64_t plane_stride;  // floats between planes
  int rows, width;
  int row_stride;  // floats from row to row of a plane
  int row_floats;  // and those of them that are written: planes may lie side by side
  bool padded;     // whether columns outside of the input are read
  float* row;      // one row of the input between margins of zeros, which stand for the padding
  int64_t margin;  // floats before it
};

// Rows of an image into the transformed rows that the Winograd kernels read.
struct WinogradArgs {
  const float* in;
  int64_t in_stride;
  int height, width, in_row_stride;
  float* out;
  int64_t out_stride;
  int64_t plane_stride;  // floats between transformed planes, where those follow each other
  int parts;             // along the rows: rows of the image in a vector,
  int first, last;       // and which rows of vectors are to be read, by the output's
};

// Filters and vectors of pairs of columns that the 7x7 Winograd kernel sums up at once, and the
// transformed rows that it makes of a row of input: five of odd columns, four of even ones.
constexpr int kWinograd7x7Filters = 8;
constexpr int kWinograd7x7Vectors = 3;
constexpr int kWinograd7x7Rows = 9;

// A dense 7x7 convolution with stride 2 (see kernels/winograd7x7s2.h), a band of rows at a time.
// Rows of the output follow each other directly, their width is a multiple of 16, and their number
// is even: they are counted by two.
struct Winograd7x7Args {
  const float* in;
  int64_t in_stride;
  int in_height, in_width, in_row_stride;
  int channels;
  float* row;     // one row of input, then zeros: 2 * width + 128 floats
  float* planes;  // channels * kWinograd7x7Rows * 4 transformed planes
  int64_t plane_stride;
  float* sums;           // of one tile, by point
  const int32_t* taps;   // where in `planes` each term of a point's sums is, by point
  const int* counts;     // terms of each of the 5 points
  const float* weights;  // by block of kWinograd7x7Filters filters, by term; filters innermost
  int filters;
  int width;
  float* out;
  int64_t out_stride;     // floats between channels of `out` and of `residual`
  const float* residual;  // added before the activation, or null; may be `out`
  const float* bias;
  Activation activation;
};

struct PoolArgs {
  const float* in;
  int64_t in_stride;
  int in_height, in_width, in_row_stride;
  float* out;
  int64_t out_stride;
  int out_height, out_width, out_row_stride;
  int kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w;
  bool average;
  const float* row_scale;     // average: 1 / rows counted, one an output row
  const float* column_scale;  // average: 1 / columns counted, rounded up to 16 columns
  float* buffer;              // one row, with padding_w floats of the neutral element before it
};

// out = activation(a + b), or activation(a), on images laid out alike.
struct ElementwiseArgs {
  const float* a;
  const float* b;  // or null
  float* out;
  int64_t stride;       // floats between channels
  int64_t count;        // floats of one channel, a multiple of 16
  const uint8_t* mask;  // as in ConvArgs
  Activation activation;
  float p0, p1;  // of activations that have parameters
};

// y = W x + b on a vector x that is padded by zeros to a multiple of 16 floats.
struct LinearArgs {
  const float* x;
  int64_t columns;          // dense: floats in a row of `values`, a multiple of 16
  const uint32_t* ptr;      // sparse: filters + 1
  const uint32_t* channel;  // sparse: the column of each value
  const float* values;
  const int8_t* codes;     // dense: or null; in place of values, times code_unit[filter]
  const float* code_unit;  // one a filter
  const float* bias;
  Activation activation;
  float* y;
};

// All kernels of one instruction set. Ranges are half-open: channels, filters or units.
struct KernelTable {
  IsaTraits traits;
  void (*conv_flat)(const ConvArgs&, int begin, int end);
  void (*conv_flat_blocked)(const ConvArgs&, int begin, int end);
  void (*conv_rows3x3)(const ConvArgs&, int begin, int end);
  void (*conv_rows3x3s2)(const ConvArgs&, int begin, int end);
  void (*conv_direct3x3s2)(const ConvArgs&, int begin, int end);
  void (*conv_rows5x5)(const ConvArgs&, int begin, int end);
  void (*conv_rows5x5s2)(const ConvArgs&, int begin, int end);
  // Null unless lanes == 16.
  void (*conv_pairs3x3)(const ConvArgs&, int begin, int end);
  void (*transform_strided_pairs)(const WinogradArgs&, int begin, int end);
  void (*conv_pairs3x3s2)(const ConvArgs&, int begin, int end);
  void (*conv_pairs5x5)(const ConvArgs&, int begin, int end);
  void (*conv_pairs5x5s2)(const ConvArgs&, int begin, int end);
  // Null without registers for the weights, and those for narrow images also unless lanes == 16.
  void (*winograd_rows)(const WinogradArgs&, int begin, int end);
  void (*conv_winograd3x3)(const ConvArgs&, int begin, int end);
  void (*conv_winograd7x7s2)(const Winograd7x7Args&, int begin, int end);
  void (*winograd_pairs)(const WinogradArgs&, int begin, int end);
  void (*conv_winograd_pairs3x3)(const ConvArgs&, int begin, int end);
  void (*stage)(const StageArgs&, int begin, int end);
  void (*pool)(const PoolArgs&, int begin, int end);
  // Mean of `count` floats at each in + c * in_stride, of which `pixels` are not in gaps.
  void (*global_average)(const float* in, int64_t in_stride, int64_t count, int pixels, float* out,
                         int64_t out_stride, int begin, int end);
  void (*elementwise)(const ElementwiseArgs&, int begin, int end);
  // See kernels/rows.h; row_reduce knows kAdd, kMax and kMin.
  void (*row_binary)(RowKind, const float* a, int a_step, const float* b, int b_step, float* out,
                     int64_t count);
  void (*row_affine)(const float* x, float scale, float shift, float* out, int64_t count,
                     Activation activation);
  void (*row_axpy)(const float* x, float w, float* y, int64_t count);
  float (*row_reduce)(RowKind, const float* x, int64_t count);
  void (*row_exp)(const float* x, const float* m, int m_step, float* out, int64_t count);
  void (*linear_dense)(const LinearArgs&, int begin, int end);
  void (*linear_sparse)(const LinearArgs&, int begin, int end);
};

const KernelTable& kernels(Isa isa);

namespace portable {
extern const KernelTable kTable;
}
#if LNX_AARCH64
namespace neon {
extern const KernelTable kTable;
}
#endif
#if LNX_X86
namespace avx2 {
extern const KernelTable kTable;
}
namespace avx512 {
extern const KernelTable kTable;
}
#endif

}  // namespace lnx
