// Sizes that the kernels are compiled for, and what must hold between them.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "lnx/filter_blocks.h"

namespace lnx {

constexpr int kWarp = 32;

// Form (a): a warp computes one filter, its neighbours in the block other filters of the same
// pixels, whose inputs are then found in the first cache.
template <typename T>
struct ListsConfig {
  // Pixels along a row that a thread loads and stores at once.
  static constexpr int kVector = 16 / sizeof(T);
  // Output rows of a thread of the 3x3 kernel: an input row is used for up to three of them.
  static constexpr int kRows = 4;
  // Vectors of a thread of the pointwise kernel, pixels of a thread of the kernel of any window.
  static constexpr int kVectors = 2;
  static constexpr int kPixels = 4;
  static constexpr int kFilters = 4;
  static constexpr int kThreads = kFilters * kWarp;
  // Floats of weights that a warp stages at once in shared memory, where a slice is no longer.
  static constexpr int kStage = 512;

  static_assert(kVector * sizeof(T) == 16, "a thread's loads are 16 bytes");
  static_assert(kStage % 4 == 0, "weights are copied 4 floats at a time");
  static_assert(kThreads <= 256, "128 registers a thread leave room for two blocks");
  static_assert(kRows * kVector + 3 * 3 + kVector + 2 <= 96,
                "sums, weights and a row of inputs stay in registers");
};

// How form (b) multiplies.
struct Tf32 {
  using Storage = float;
  static constexpr int kDepth = 8;  // channels of an instruction
  static constexpr int kParts = 1;
};
struct Tf32x3 {
  using Storage = float;
  static constexpr int kDepth = 8;
  static constexpr int kParts = 2;  // weights as the sum of two TF32 values
};
template <typename T>
struct Direct {  // 16-bit types as they are
  using Storage = T;
  static constexpr int kDepth = 16;
  static constexpr int kParts = 1;
};

// Form (b): a block computes a block of filters for a tile of pixels. Its warps share the filters
// and divide the pixels, in runs of 8 along a row.
template <typename Math, int Runs>
struct BlocksConfig {
  static constexpr int kFilters = FilterBlocks::kFilters;
  static constexpr int kChannels = FilterBlocks::kChannels;  // of a stage
  static constexpr int kWarps = 4;
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kRuns = Runs;  // of a warp
  static constexpr int kTileRuns = kWarps * kRuns;
  static constexpr int kStages = 2;
  static constexpr int kRowBlocks = kFilters / 16;         // rows of a matrix instruction
  static constexpr int kSteps = kChannels / Math::kDepth;  // matrix instructions deep
  static constexpr int kFragment = 16 * kWarp;             // bytes: four registers a lane
  static constexpr int kTapBytes = kSteps * kRowBlocks * Math::kParts * kFragment;
  static constexpr int kStageBytes = 8192;  // of weights, where a tap is not more

  static_assert(kFilters % 16 == 0, "a matrix instruction takes 16 filters");
  static_assert(kChannels % Math::kDepth == 0, "a stage is whole matrix instructions deep");
  static_assert(kStages == 2, "copies of one stage run while the other one is multiplied");
  static_assert(kTapBytes <= kStageBytes, "the weights of a tap fit into a stage");
  static_assert(kRowBlocks * kRuns * 4 <= 64, "sums stay in registers");
};

// Where a weight lies in the fragments of its tap: as the lanes of mma.cuh hold `a`, 16 bytes each.
template <typename Math>
struct FragmentPlace {
  // Offset in elements of Math::Storage (of the first part), for filter m and channel k of a stage.
  static constexpr __host__ __device__ int offset(int m, int k) {
    constexpr int kPerRegister = 4 / sizeof(typename Math::Storage);
    const int step = k / Math::kDepth, deep = k % Math::kDepth;
    const int column = deep / kPerRegister;  // of registers
    const int lane = m % 8 * 4 + column % 4;
    const int reg = m % 16 / 8 + column / 4 * 2;
    const int fragment = (step * (FilterBlocks::kFilters / 16) + m / 16) * Math::kParts;
    return ((fragment * kWarp + lane) * 4 + reg) * kPerRegister + deep % kPerRegister;
  }
  // From a weight's first part to its second.
  static constexpr int kPart = kWarp * 4;
};

}  // namespace lnx
