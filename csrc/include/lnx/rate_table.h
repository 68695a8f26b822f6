// The rate term of training on a CPU: sums of a table, interpolated, with both gradients in one
// pass.
#pragma once

#include <cstddef>

namespace lnx {

// Piecewise linear functions, one for each tap, of `points` values `1 / cells` apart from `-range`
// on; beyond the ends, the first and the last line go on.
struct RateTable {
  const float* values;  // taps x points
  size_t taps;
  size_t points;  // at least 2
  float cells;    // a unit of the latents
  float range;
};

// Sums the functions over `rows` x taps latents. `by_rows`, as large as the latents, gets the sum's
// derivative by each of them, and `by_table`, as large as the table, that by each of its values.
double sum_of_table(const RateTable& table, const float* latents, size_t rows, float* by_rows,
                    float* by_table);

}  // namespace lnx
