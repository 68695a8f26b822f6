// What lanes of a warp do together.
#pragma once

#include <cstdint>
#include <string>

#include "machine.h"

namespace emulated {

enum class Operation { kNone, kSync, kExchange, kMma };

struct Warp {
  // A lane arrives. Empty, or what is wrong.
  std::string join(int lane, Operation operation, uint32_t mask, int line);
  bool complete() const { return arrived == expected; }
  // All have arrived.
  void leave();
  // Which of two sets of values an operation uses: some lanes may still read those of the last one.
  uint32_t turn() const { return meetings % 2; }

  Operation operation = Operation::kNone;
  uint32_t arrived = 0, expected = 0;
  int line = 0;
  uint32_t meetings = 0;
  uint32_t values[2][32] = {};
  MmaLane operands[32] = {};
};

// c += a * b of 16 x depth and depth x 8 values, spread over the lanes as the instruction set says.
void multiply_fragments(const MmaLane (&lanes)[32], int depth, PairKind kind);

}  // namespace emulated
