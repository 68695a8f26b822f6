// What lanes of a warp do together.
#pragma once

#include <cstdint>
#include <string>

#include "machine.h"

namespace emulated {

enum class Operation { kSync, kExchange, kMma };

// One operation of the lanes of a mask; free when the mask is empty.
struct Meeting {
  bool complete() const { return arrived == mask; }

  Operation operation = Operation::kSync;
  uint32_t mask = 0, arrived = 0, left = 0;
  int line = 0;
  uint32_t values[32] = {};
  MmaLane operands[32] = {};
};

class Warp {
 public:
  // A lane arrives at an operation, the first one or one that others wait in. Null, and `wrong`
  // says why, where it does not fit those in which others wait.
  Meeting* join(int lane, Operation operation, uint32_t mask, int line, std::string& wrong);
  // A lane has what it came for.
  static void leave(Meeting& meeting, int lane);

  // How often the whole warp has met at a barrier: what orders its accesses to memory. Barriers of
  // parts of it are not counted, so that they order nothing.
  uint32_t barriers = 0;

 private:
  // As many as there can be lanes that wait alone, and as many that still leave.
  Meeting meetings_[64];
};

// c += a * b of 16 x depth and depth x 8 values, spread over the lanes as the instruction set says.
void multiply_fragments(const MmaLane (&lanes)[32], int depth, PairKind kind);

}  // namespace emulated
