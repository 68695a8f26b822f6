// A value of any rank in the arena.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace lnx {

constexpr size_t kMaxRank = 8;

// Element (i, j, ...) is at offset + i * strides[0] + j * strides[1] + ..., in floats. There is at
// least one axis; elements of the last one follow each other, unless its stride is 0: then they are
// one and the same.
struct View {
  int64_t offset = 0;
  std::vector<int64_t> shape, strides;

  View() = default;

  // From {offset, shape..., strides...}; std::invalid_argument where that is none.
  explicit View(const std::vector<int64_t>& numbers) {
    const size_t rank = numbers.size() / 2;
    if (numbers.size() % 2 == 0 || rank < 1 || rank > kMaxRank)
      throw std::invalid_argument("a view has an offset, and a shape and strides of 1 to 8 axes");
    offset = numbers[0];
    const auto middle = numbers.begin() + 1 + static_cast<std::ptrdiff_t>(rank);
    shape.assign(numbers.begin() + 1, middle);
    strides.assign(middle, numbers.end());
  }

  int64_t rows() const {
    int64_t count = 1;
    for (size_t i = 0; i + 1 < shape.size(); ++i) count *= shape[i];
    return count;
  }
  int64_t row_floats() const { return shape.back(); }
  int64_t elements() const { return rows() * row_floats(); }

  // How far from the offset the last element is.
  int64_t reach() const {
    int64_t floats = 0;
    for (size_t i = 0; i < shape.size(); ++i) floats += (shape[i] - 1) * strides[i];
    return floats;
  }
};

}  // namespace lnx
