// The CPU executor: a network as a list of steps over one arena of activations. What each step is,
// which kernel runs it and where its values lie is decided by the caller (the plan); the executor
// only checks that it stays inside the arena.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lnx/activation.h"
#include "lnx/image.h"
#include "lnx/isa.h"
#include "lnx/packed_weight.h"
#include "lnx/value_specs.h"

namespace lnx {

enum class ConvKernel {
  kFlat,              // any taps, one filter at a time
  kFlatBlocked,       // any taps, filter_block filters at a time
  kRows3x3,           // 3x3, stride 1
  kRows3x3s2,         // 3x3, stride 2, padding 1; staged
  kDirect3x3s2,       // 3x3, stride 2, padding 1 at the sides, of an input that is not staged
  kRows5x5,           // 5x5, stride 1, padding 2 at left; row_stride a multiple of the vector
  kRows5x5s2,         // the same with stride 2; two columns of zeros behind each row of the input
  kPairs3x3,          // 3x3, stride 1, padding 1; at most 8 columns, 16 lanes
  kPairs3x3s2,        // 3x3, stride 2, padding 1; at most 8 columns, 16 lanes; staged
  kWinograd3x3,       // 3x3, stride 1, padding 1; staged; tile: rows of the image in a vector, 1,
                      // or with 16 lanes 2 or 4, of at most 32 or 16 columns
  kWinogradPairs3x3,  // the same with at most 8 columns, 16 lanes
  kWinograd7x7s2,     // 7x7, stride 2, padding 3; rows of output packed, 16 n columns, 2 n rows
  kPairs5x5,          // 5x5, stride 1, padding 2; row_stride 8, 16 lanes
  kPairs5x5s2,        // 5x5, stride 2, padding 2; row_stride 16 to 8, 16 lanes
};

// The kernel called "flat", "flat_blocked", "rows3x3", "rows3x3s2", ...; else
// std::invalid_argument.
ConvKernel conv_kernel_from_name(const std::string& name);

struct ConvSpec {
  Image in, out;
  Window window;
  ConvKernel kernel;
  bool staged;         // whether the input is first split into planes of stride 1
  int block_channels;  // input channels whose pixels should stay in the first-level cache
  int tile_rows;       // row kernels: rows a tile
  int tile;            // vectors a tile (of each row, in row kernels)
  Activation activation;
  bool has_residual;
  Image residual;           // laid out as `out`
  std::vector<float> bias;  // one a filter
};

struct PoolSpec {
  Image in, out;
  Window window;
  bool average;
  bool count_include_pad;
};

// A planned network. Steps are added once; then `run` may be called from any thread, one call at a
// time running.
class Network {
 public:
  // arena_floats: size of the activations' memory of one image, with the guards that kernels may
  // read at both ends.
  Network(Isa isa, int threads, int64_t arena_floats);
  ~Network();

  // Copies the network's next input, dense [channels][height][width], into the arena.
  void add_input(const Image& to);
  // `scale` multiplies each filter's weights; null for none.
  void add_conv(const ConvSpec& spec, const PackedWeight& weight, const float* scale);
  void add_pool(const PoolSpec& spec);
  // `out` has one pixel, or is the vector of the channels.
  void add_global_average(const Image& in, const Image& out);
  // out = activation(a + b), or activation(a) where b is null. All laid out alike. p0 and p1: of
  // activations that have parameters.
  void add_elementwise(const Image& a, const Image* b, const Image& out, Activation activation,
                       float p0, float p1);
  // On vectors. `dense` stores zeros too and streams through all columns.
  void add_linear(const Image& in, const Image& out, const PackedWeight& weight, const float* scale,
                  const std::vector<float>& bias, Activation activation, bool dense);
  // The same for each row of a value, the last axis.
  void add_linear_rows(const View& in, const View& out, const PackedWeight& weight,
                       const float* scale, const std::vector<float>& bias, Activation activation,
                       bool dense);
  void add_conv_transpose(const ConvTransposeSpec& spec, const PackedWeight& weight,
                          const float* scale);
  void add_window_pool(const WindowPoolSpec& spec);
  void add_blend(const BlendSpec& spec);
  // Writes these values, dense in C order, at each run.
  void add_constant(const Image& out, const std::vector<float>& values);
  // out = a op b; operands have the output's shape, and strides of 0 where they broadcast.
  void add_binary(RowKind kind, const View& a, const View& b, const View& out);
  // out = activation(in * scale[c] + shift[c]), c being the index of the first axis.
  void add_affine(const View& in, const View& out, const std::vector<float>& scale,
                  const std::vector<float>& shift, Activation activation);
  void add_reduce(const ReduceSpec& spec);
  void add_softmax(const View& in, const View& out, int axis);
  // Of the last two axes; operands have the output's leading axes.
  void add_matmul(const View& a, const View& b, const View& out);
  void add_rearrange(const std::vector<RearrangePiece>& pieces);
  // The same elements in C order.
  void add_reshape(const Image& in, const Image& out);
  // Copies a value into the next output, dense.
  void add_output(const Image& from);

  // Allocates the memory of one image, after the last step was added; else the first run does.
  void prepare();

  // inputs: one pointer for each add_input, to batch images, dense. outputs: one pointer for each
  // add_output, batch values each. With at least as many images as threads each thread takes whole
  // images (and memory for an arena of its own, at the first such call); with fewer, all threads
  // share each layer.
  void run(const float* const* inputs, int64_t batch, float* const* outputs);

  // Runs `repeats` times, the threads sharing each layer, and returns seconds by repeat and step,
  // summed over the batch: [repeats][num_steps].
  std::vector<double> profile(const float* const* inputs, int64_t batch, int repeats);

  int64_t num_steps() const;
  int64_t num_inputs() const;
  // Floats of one image of input i.
  int64_t input_floats(int64_t i) const;
  // Floats of one image of output i.
  int64_t output_floats(int64_t i) const;
  int64_t num_outputs() const;
  int threads() const;
  // Bytes of the weights as the kernels read them, and of the activations of one image.
  int64_t weight_bytes() const;
  int64_t arena_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lnx
