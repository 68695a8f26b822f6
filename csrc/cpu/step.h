// Steps of a network, and what they see of the call that runs them.
#pragma once

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
  const float* input;     // of this image
  float* const* outputs;  // of the whole batch
  int64_t image;          // index in the batch
  int member, members;    // which part of the team that shares this image is running
  int worker;             // index of the thread, for memory of its own
  Barrier* barrier;       // of that team

  void wait() const {
    if (members > 1) barrier->wait();
  }
};

// Part of `total` items for one member of a team.
struct Range {
  int begin, end;
  Range(int total, const Frame& frame)
      : begin(static_cast<int>(int64_t{total} * frame.member / frame.members)),
        end(static_cast<int>(int64_t{total} * (frame.member + 1) / frame.members)) {}
};

class Step {
 public:
  virtual ~Step() = default;
  // Does this member's part. The executor lets the team meet after each step.
  virtual void run(const Frame& frame) const = 0;
};

// Each checks nothing; Network::add_* has.
std::unique_ptr<Step> make_conv_step(const KernelTable& kernels, int threads, const ConvSpec& spec,
                                     const SliceShape& shape, const PackedSlices& slices);
std::unique_ptr<Step> make_pool_step(const KernelTable& kernels, int threads, const PoolSpec& spec);
std::unique_ptr<Step> make_global_average_step(const KernelTable& kernels, const Image& in,
                                               const Image& out);
std::unique_ptr<Step> make_elementwise_step(const KernelTable& kernels, const Image& a,
                                            const Image* b, const Image& out, bool relu);
std::unique_ptr<Step> make_linear_step(const KernelTable& kernels, const Image& in,
                                       const Image& out, const SliceShape& shape,
                                       const PackedSlices& slices, const std::vector<float>& bias,
                                       bool relu, bool dense);
std::unique_ptr<Step> make_softmax_step(const Image& in, const Image& out);
std::unique_ptr<Step> make_input_step(const Image& to);
std::unique_ptr<Step> make_flatten_step(const Image& in, const Image& out);
std::unique_ptr<Step> make_output_step(const Image& from, int index);

// Floats of scratch that a staged convolution needs.
int64_t stage_floats(const ConvSpec& spec);

}  // namespace lnx
