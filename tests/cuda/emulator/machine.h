// A GPU that runs one block at a time, its threads in turn: each until it waits for others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

namespace emulated {

// A mistake of a kernel: an access out of bounds, a race, a barrier that not all threads reach.
class KernelError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Index {
  unsigned x, y, z;
};

struct Options {
  // Order of blocks, and of threads between two barriers: 0 rising, 1 falling, else shuffled.
  uint64_t order = 0;
  // Asynchronous copies write at the last moment, when they are waited for, or at once.
  bool late_copies = true;
  // Whether accesses to shared memory are checked for races and for memory that nothing has
  // written.
  bool check_races = true;
  // The device as the runtime reports it.
  int device_count = 1;
  int count_error = 0;  // what asking for the number of devices returns
  int major = 8, minor = 0;
  int shared_limit = 163 << 10;
};
Options& options();

// Runs `body` once for each thread. KernelError: the first mistake, with block, thread and line.
void run_grid(Index grid, int threads, size_t shared_bytes, const std::function<void()>& body);

// What follows is for the running thread.

Index thread_index();
Index block_index();
Index block_size();
Index grid_size();

// Ends the run: KernelError from run_grid. Does not return.
[[noreturn]] void fail(const std::string& message);

// All threads of the block, at the same line.
void sync_block(int line);
// All lanes in the mask, which must hold the caller, at the same line.
void sync_warp(uint32_t mask, int line);
// What each lane of a warp gave, from `source`; a lane outside the mask is a mistake.
uint32_t exchange(uint32_t mask, uint32_t value, int source, int line);
// Bit i: lane i of the mask gave something other than 0.
uint32_t ballot(uint32_t mask, bool vote, int line);

// A warp's operands; each lane's own.
struct MmaLane {
  float* c;
  const uint32_t* a;
  const uint32_t* b;
};
// Which 16 bits or 32 bits of registers are which float.
enum PairKind { tf32_pairs, half_pairs, bfloat_pairs };
void mma_sync(const MmaLane& lane, int depth, PairKind kind, int line);

// A thread's number that no two threads of a run share in one block, and how often it, its warp and
// its block have met: for the check of races.
struct Moment {
  int thread;
  uint32_t block, warp;
};
Moment now();

}  // namespace emulated
