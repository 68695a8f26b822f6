// Whether two threads use the same shared memory without having met in between.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "machine.h"

namespace emulated {

class RaceCheck {
 public:
  // A new block.
  void clear(size_t bytes);
  // Empty, or what is wrong with this access.
  std::string access(size_t offset, size_t bytes, bool write, const Moment& now);
  // An access that needs no order.
  void written(size_t offset, size_t bytes);

 private:
  static constexpr int kNobody = -1;
  // The last access of a kind; of reads also whether others of the same warp, or of other warps,
  // read since the block last met.
  struct Access {
    int thread = kNobody;
    uint32_t block = 0, warp = 0;
    bool same_warp = false, other_warps = false;
  };
  struct Cell {
    Access write, read;
    uint32_t written_in = 0;  // block
  };

  static bool races(const Access& before, const Moment& now);

  std::vector<Cell> cells_;  // one for two bytes
  uint32_t block_ = 0;
};

}  // namespace emulated
