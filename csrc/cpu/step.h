// Steps of a network, and what they see of the call that runs them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/thread_pool.h"
#include "lnx/runtime.h"

namespace lnx {

// One image on its way through the network.
struct Frame {
  float* arena;
  float* scratch;
  const float* const* inputs;  // of the whole batch
  float* const* outputs;       // of the whole batch
  int64_t image;               // index in the batch
  int member;                  // the thread, for memory of its own
  ThreadPool* pool;  // shares the work of this image; null where this thread does all of it

  // How many parts work of that many items is worth, an item costing that many floats of memory
  // traffic: a part should outlast the claiming of it many times.
  int parts(int64_t items, int64_t floats_per_item) const {
    if (!pool) return 1;
    const int64_t worth = items * floats_per_item / 10000;
    return static_cast<int>(std::max<int64_t>(
        1, std::min<int64_t>({worth, items, int64_t{kPartsPerThread} * pool->members()})));
  }

  // Calls fn(begin, end, member) for ranges that make up all items.
  template <typename Fn>
  void split(int items, int parts, const Fn& fn) const {
    if (parts == 1) {
      fn(0, items, member);
      return;
    }
    pool->share(parts, [&](int part, int who) {
      fn(static_cast<int>(int64_t{items} * part / parts),
         static_cast<int>(int64_t{items} * (part + 1) / parts), who);
    });
  }

  // More parts than threads: who is late gets fewer.
  static constexpr int kPartsPerThread = 2;
};

class Step {
 public:
  virtual ~Step() = default;
  virtual void run(const Frame& frame) const = 0;
  // Bytes of its weights, indices included.
  virtual int64_t weight_bytes() const { return 0; }
};

// Each checks nothing; Network::add_* has.
std::unique_ptr<Step> make_conv_step(const KernelTable& kernels, int threads, const ConvSpec& spec,
                                     const SliceShape& shape, const PackedSlices& slices);
std::unique_ptr<Step> make_conv7x7s2_step(const KernelTable& kernels, int threads,
                                          const ConvSpec& spec, const PackedSlices& slices);
std::unique_ptr<Step> make_pool_step(const KernelTable& kernels, int threads, const PoolSpec& spec);
std::unique_ptr<Step> make_global_average_step(const KernelTable& kernels, const Image& in,
                                               const Image& out);
std::unique_ptr<Step> make_elementwise_step(const KernelTable& kernels, const Image& a,
                                            const Image* b, const Image& out, Activation activation,
                                            float p0, float p1);
std::unique_ptr<Step> make_linear_step(const KernelTable& kernels, const Image& in,
                                       const Image& out, const PackedWeight& weight,
                                       const float* scale, const std::vector<float>& bias,
                                       Activation activation, bool dense);
std::unique_ptr<Step> make_linear_rows_step(const KernelTable& kernels, int threads, const View& in,
                                            const View& out, const PackedWeight& weight,
                                            const float* scale, const std::vector<float>& bias,
                                            Activation activation, bool dense);
std::unique_ptr<Step> make_conv_transpose_step(const KernelTable& kernels, int threads,
                                               const ConvTransposeSpec& spec,
                                               const SliceShape& shape, const PackedSlices& slices);
std::unique_ptr<Step> make_window_pool_step(const KernelTable& kernels, int threads,
                                            const WindowPoolSpec& spec);
std::unique_ptr<Step> make_blend_step(const KernelTable& kernels, int threads,
                                      const BlendSpec& spec);
std::unique_ptr<Step> make_constant_step(const Image& out, const std::vector<float>& values);
std::unique_ptr<Step> make_binary_step(const KernelTable& kernels, RowKind kind, const View& a,
                                       const View& b, const View& out);
std::unique_ptr<Step> make_affine_step(const KernelTable& kernels, const View& in, const View& out,
                                       const std::vector<float>& scale,
                                       const std::vector<float>& shift, Activation activation);
std::unique_ptr<Step> make_reduce_step(const KernelTable& kernels, const ReduceSpec& spec);
std::unique_ptr<Step> make_softmax_step(const KernelTable& kernels, int threads, const View& in,
                                        const View& out, int axis);
std::unique_ptr<Step> make_matmul_step(const KernelTable& kernels, const View& a, const View& b,
                                       const View& out);
std::unique_ptr<Step> make_rearrange_step(const std::vector<RearrangePiece>& pieces);
std::unique_ptr<Step> make_reshape_step(const Image& in, const Image& out);
std::unique_ptr<Step> make_input_step(const Image& to, int index);
std::unique_ptr<Step> make_output_step(const Image& from, int index);

// Bit p % 8 of byte p / 8 is set where flat position p of the image's channels is a pixel.
std::vector<uint8_t> pixel_mask(const Image& image);

// Floats of scratch that a staged convolution needs where vectors have that many lanes.
int64_t stage_floats(const ConvSpec& spec, int lanes, int threads);

}  // namespace lnx
