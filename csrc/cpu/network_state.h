// What a network is made of, and the checks that all its steps share.
#pragma once

#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "cpu/aligned_buffer.h"
#include "cpu/step.h"
#include "lnx/runtime.h"

namespace lnx {

inline int64_t floats_of(const Image& i) { return int64_t{i.channels} * i.height * i.width; }

struct Network::State {
  static constexpr int64_t kMostElements = int64_t{1} << 31;
  static constexpr int64_t kTrimmedBytes = int64_t{4} << 20;

  State(Isa isa, int threads, int64_t arena_floats)
      : kernels(lnx::kernels(isa)),
        arena_floats(arena_floats),
        threads(threads),
        pools(threads > 1 ? SharedPools::get(threads) : nullptr) {}

  struct Memory {
    AlignedBuffer<float> arena, scratch;
  };

  // What decoding and laying out have let go of leaves holes in the heap that what comes next does
  // not fit into, and that would count as memory in use.
  void return_freed_memory() {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
    laid_out_bytes = 0;
  }

  void grow_memory(int count) {
    while (static_cast<int>(memory.size()) < count)
      memory.push_back({AlignedBuffer<float>(arena_floats), AlignedBuffer<float>(scratch_floats)});
  }

  void check(bool good, const std::string& what) const {
    if (!good) throw std::invalid_argument("step " + std::to_string(steps.size()) + ": " + what);
  }

  // Pixels of the image, and `reach` floats around them, must lie in the arena.
  void check_image(const Image& i, int64_t reach) const {
    check(i.channels > 0 && i.height > 0 && i.width > 0 && i.width <= i.row_stride &&
              i.channel_stride % 16 == 0 && i.offset % 16 == 0 &&
              i.channel_stride >= (int64_t{i.height} * i.row_stride + 15) / 16 * 16,
          "image contradicts itself");
    const int64_t end = i.offset + i.channels * i.channel_stride;
    check(i.offset >= reach && end + reach <= arena_floats, "image outside the arena");
  }

  void check_vector(const Image& i) const {
    check_image(i, 0);
    check(i.channels == 1 && i.height == 1, "not a vector");
  }

  static bool same_layout(const Image& a, const Image& b) {
    return a.channels == b.channels && a.height == b.height && a.width == b.width &&
           a.row_stride == b.row_stride && a.channel_stride == b.channel_stride;
  }

  // All elements of the view must lie in the arena.
  void check_view(const View& v) const {
    for (size_t i = 0; i < v.shape.size(); ++i)
      check(v.shape[i] > 0 && v.strides[i] >= 0 && v.shape[i] <= kMostElements &&
                v.strides[i] <= arena_floats,
            "view contradicts itself");
    int64_t count = 1;
    for (int64_t size : v.shape)
      if ((count *= size) > kMostElements) throw std::bad_alloc();
    check(v.offset >= 0 && v.offset + v.reach() < arena_floats, "view outside the arena");
  }

  // A view that is read or written by rows.
  void check_rows(const View& v) const {
    check_view(v);
    check(v.strides.back() == 1 || v.shape.back() == 1,
          "elements of a row do not follow each other");
  }

  Frame frame(Memory& m, const float* const* inputs, int64_t image, float* const* outputs) {
    return Frame{m.arena.data(), m.scratch.data(), inputs, outputs, image, 0, nullptr};
  }

  const KernelTable& kernels;
  const int64_t arena_floats;
  int64_t laid_out_bytes = 0;  // of weights, since freed memory was returned
  int64_t scratch_floats = 0;  // for the planes of the largest staged convolution
  std::vector<int64_t> input_floats, output_floats;
  std::vector<std::unique_ptr<Step>> steps;
  std::vector<Memory> memory;  // one, or one for each thread
  const int threads;
  const std::shared_ptr<SharedPools> pools;  // null for a single thread
  std::mutex mutex;
};

}  // namespace lnx
