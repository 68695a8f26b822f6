// Walking over the rows of values of any rank.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "lnx/view.h"

namespace lnx {

// Calls fn(offsets) for the rows begin up to end, in C order, of values of one shape: all axes but
// the last make up the rows. offsets[v] is where the row is by strides[v].
template <size_t kValues, typename Fn>
void for_rows(const std::vector<int64_t>& shape,
              const std::array<const std::vector<int64_t>*, kValues>& strides, int64_t begin,
              int64_t end, const Fn& fn) {
  const int outer = static_cast<int>(shape.size()) - 1;
  std::array<int64_t, kMaxRank> index{};
  std::array<int64_t, kValues> offsets{};
  int64_t rest = begin;
  for (int d = outer - 1; d >= 0; --d) {
    index[d] = rest % shape[d];
    rest /= shape[d];
    for (size_t v = 0; v < kValues; ++v) offsets[v] += index[d] * (*strides[v])[d];
  }
  for (int64_t row = begin; row < end; ++row) {
    fn(offsets);
    for (int d = outer - 1; d >= 0; --d) {
      for (size_t v = 0; v < kValues; ++v) offsets[v] += (*strides[v])[d];
      if (++index[d] < shape[d]) break;
      for (size_t v = 0; v < kValues; ++v) offsets[v] -= (*strides[v])[d] * shape[d];
      index[d] = 0;
    }
  }
}

}  // namespace lnx
