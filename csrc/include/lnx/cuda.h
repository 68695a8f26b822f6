// Convolutions on NVIDIA GPUs. No CUDA header is needed to use this one; every function is there in
// builds without CUDA too, where all but `cuda_status` throw.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "lnx/activation.h"

namespace lnx {

enum class CudaStatus {
  kReady,
  kNotBuilt,                 // this library was compiled without nvcc
  kNoDevice,                 // no GPU, or a driver too old for this library
  kUnsupportedArchitecture,  // compute capability below 8.0
};

struct CudaReport {
  CudaStatus status;
  std::string detail;  // one sentence: what was found, and what to do
};

// Whether kernels can run on this device.
CudaReport cuda_status(int device = 0);

// A call of the CUDA runtime failed, or this library has no CUDA.
class CudaError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A tensor [images][channels][height][width] of which only rows need be contiguous, in elements.
struct CudaStrides {
  int64_t image;
  int64_t channel;
  int64_t row;
};

enum class CudaType { kFloat32, kFloat16, kBFloat16 };

// How form (b) multiplies. Sums are float32 always.
enum class CudaMath {
  kFloat32,   // float32 tensors; each product is three of TF32, about as exact as float32
  kTf32,      // float32 tensors, rounded to TF32 (10 bits of mantissa)
  kFloat16,   // float16 tensors
  kBFloat16,  // bfloat16 tensors
};

// A convolution, whatever its weights. All pointers are on the device, aligned for their elements;
// tensors whose base and strides are multiples of 16 bytes are read and written 16 bytes at a time.
struct CudaConv {
  CudaType type;  // of input, residual and output
  int64_t images, channels, height, width;
  int64_t filters, groups;
  int64_t kernel[2], stride[2], padding[2], dilation[2];  // height, then width
  const void* input;
  CudaStrides input_strides;
  void* output;
  const void* residual;  // shaped and strided as output, or null; may be the output itself
  CudaStrides output_strides;
  const float* bias;  // [filters] or null; added first, then the residual, then the activation
  Activation activation;
  void* stream;  // cudaStream_t; null is the default stream

  int64_t out_height() const { return out_size(0, height); }
  int64_t out_width() const { return out_size(1, width); }

 private:
  int64_t out_size(int axis, int64_t size) const {
    return (size + 2 * padding[axis] - dilation[axis] * (kernel[axis] - 1) - 1) / stride[axis] + 1;
  }
};

// Form (a): each filter over its own channels. The packed slices as they are (packed_slices.h).
struct CudaLists {
  int64_t slices;
  int64_t slice_channels;      // input channels of a slice: more than 1 for 1x1 kernels only
  const uint32_t* filter_ptr;  // [filters + 1]
  const uint32_t* channel;     // [slices]
  const float* values;         // [slices][slice_channels * kernel], 16-byte aligned, readable up to
                               // a multiple of 4 floats
  const uint32_t* order;       // [filters] filters in the order of work: longest_first
};

// Form (b): blocks of filters over the union of their channels (filter_blocks.h), on tensor cores.
struct CudaBlocks {
  CudaMath math;
  int tile_runs;  // runs of 8 pixels of a block: 8, 16, or 0 for what seems best
  int64_t blocks;
  const uint32_t* order;      // as in FilterBlocks, and so the next two
  const uint32_t* block_ptr;  // [blocks + 1]
  const int32_t* channel;
  const void* fragments;  // as cuda_arrange leaves them, 16-byte aligned
};

// Run a convolution on the current device. They return when the work is in the stream.
// std::invalid_argument: a size is out of range, or types contradict each other. CudaError: CUDA
// refused; from cuda_conv_blocks also where a tile does not fit into shared memory
// (cuda_blocks_fit).
void cuda_conv_lists(const CudaConv& conv, const CudaLists& weight);
void cuda_conv_blocks(const CudaConv& conv, const CudaBlocks& weight);

// Whether form (b) has a tile for this window on the current device; large dilations have none.
bool cuda_blocks_fit(const CudaConv& conv, CudaMath math);

// The output pixels of a block of form (b), and the bytes of its shared memory.
struct CudaTile {
  int rows, columns;
  int64_t shared_bytes;
};
// What form (b) would take for so many blocks of filters where a block has `shared_limit` bytes of
// shared memory at most; rows is 0 where nothing fits. `tile_runs` as in CudaBlocks. Needs no
// device.
CudaTile cuda_blocks_tile(const CudaConv& conv, CudaMath math, int64_t blocks, int tile_runs,
                          int64_t shared_limit);

// Bytes of shared memory of a block of form (a), for slices of so many weights. Needs no device.
int64_t cuda_lists_shared_bytes(int64_t length);

// Restores weights from the integers of the file: values[k] = (latents[k] x matrix) * 2^-exponent,
// rounded once, then times the filter's scale; equal bit for bit to PackedWeight::unpack. All
// pointers are on the device. scale [filters] may be null.
void cuda_decode(int64_t filters, int64_t length, const uint32_t* filter_ptr,
                 const int16_t* latents, const int32_t* matrix, int exponent, const float* scale,
                 float* values, void* stream);

// Puts weights into the order of matrix fragments, for form (b).
struct CudaArrange {
  CudaMath math;
  int64_t filters, channels, groups;
  int64_t taps;                // kernel height times width
  int64_t slice_channels;      // as in CudaLists
  const uint32_t* filter_ptr;  // [filters + 1]
  const uint32_t* channel;     // [slices]
  const float* values;         // [slices][slice_channels * taps]
  const uint32_t* position;    // as in FilterBlocks, and so the next two
  const uint32_t* slot;
  const uint32_t* block_ptr;
  void* fragments;  // cuda_fragment_bytes of zeros
  void* stream;
};
void cuda_arrange(const CudaArrange& arrange);

// Bytes of the fragments of `union_channels` channels, those of all blocks together.
int64_t cuda_fragment_bytes(CudaMath math, int64_t union_channels, int64_t taps);

}  // namespace lnx
