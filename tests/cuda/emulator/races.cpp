#include "races.h"

namespace emulated {

void RaceCheck::clear(size_t bytes) {
  if (cells_.size() < (bytes + 1) / 2) cells_.resize((bytes + 1) / 2);
  ++block_;
}

// Ordered are accesses of one thread, accesses with a barrier of the block between them, and
// accesses of one warp with a barrier of the warp between them.
bool RaceCheck::races(const Access& before, const Moment& now) {
  if (before.thread == kNobody || before.block != now.block) return false;
  if (before.other_warps) return true;
  if (before.thread / 32 != now.thread / 32) return true;
  return before.warp == now.warp && (before.thread != now.thread || before.same_warp);
}

std::string RaceCheck::access(size_t offset, size_t bytes, bool write, const Moment& now) {
  for (size_t i = offset / 2; i < (offset + bytes + 1) / 2; ++i) {
    Cell& cell = cells_[i];
    const auto tell = [&](const char* kind, const Access& other) {
      return std::string("race in shared memory at byte ") + std::to_string(2 * i) + ": thread " +
             std::to_string(other.thread) + kind + "without a barrier in between";
    };
    if (races(cell.write, now))
      return tell(write ? " wrote what this one overwrites, " : " wrote what this one reads, ",
                  cell.write);
    if (write) {
      if (races(cell.read, now)) return tell(" read what this one overwrites, ", cell.read);
      cell.write = {now.thread, now.block, now.warp, false, false};
      cell.written_in = block_;
      continue;
    }
    if (cell.written_in != block_)
      return "read of shared memory at byte " + std::to_string(2 * i) +
             ", which nothing has written";
    Access& read = cell.read;
    if (read.thread == kNobody || read.block != now.block) {
      read = {now.thread, now.block, now.warp, false, false};
      continue;
    }
    if (read.thread / 32 != now.thread / 32)
      read.other_warps = true;
    else if (read.warp != now.warp)
      read.same_warp = false;
    else if (read.thread != now.thread)
      read.same_warp = true;
    read.thread = now.thread;
    read.warp = now.warp;
  }
  return {};
}

void RaceCheck::written(size_t offset, size_t bytes) {
  for (size_t i = offset / 2; i < (offset + bytes + 1) / 2; ++i) cells_[i].written_in = block_;
}

}  // namespace emulated
