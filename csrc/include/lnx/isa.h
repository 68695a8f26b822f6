// Instruction sets that the CPU kernels are built for, and which of them this machine has.
#pragma once

#include <string>
#include <vector>

namespace lnx {

enum class Isa { kPortable, kNeon, kAvx2, kAvx512 };

// What a plan must know about the kernels of one instruction set. Tile sizes are in vectors.
struct IsaTraits {
  int lanes;              // floats in one vector
  int flat_tile;          // pixels of one filter that the flat kernel holds
  int flat_tile_blocked;  // the same, for each of filter_block filters
  int filter_block;       // filters that share each load in the blocked flat kernel
  int rows_tile;          // rows x vectors that the 3x3 row kernels hold
  int rows_max;           // rows that they take at most
  int row_vectors_max;    // vectors of one row that they take at most
  int winograd_tile;      // rows that the Winograd kernel holds; 0 without it
};

// Instruction sets built in and supported by processor and operating system, the best one first.
std::vector<Isa> available_isas();

// "avx512", "avx2", "neon" or "portable".
const char* isa_name(Isa isa);

// The instruction set of that name, if it is one of available_isas(); else std::invalid_argument,
// which names those that are.
Isa isa_from_name(const std::string& name);

const IsaTraits& isa_traits(Isa isa);

// Whether a core waits so long for what is behind its own caches that asking for it ahead pays.
bool memory_is_far();

}  // namespace lnx
