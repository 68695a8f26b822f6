// Mistakes that a test plants.
#pragma once

enum class Bug {
  kNone,
  kGlobalBounds,      // reads past the end of the input
  kSharedBounds,      // writes one value too far
  kMissingBarrier,    // reads what others write, without waiting
  kDivergentBarrier,  // some threads end before it
  kWrongLane,         // a shuffle reads a lane that takes no part
  kUncheckedBarrier,  // a missing barrier, and no check but ThreadSanitizer's
  kNoneInProduct,
  kWrongFragment,  // lanes hold each other's values of a matrix
};

// in [count] and out [count] of the emulator's buffers; blocks: one, counts the blocks that ran.
void run_planted(Bug bug, int count, const float* in, float* out, int* blocks);
