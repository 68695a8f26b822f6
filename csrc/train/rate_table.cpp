#include "lnx/rate_table.h"

#include <vector>

namespace lnx {

double sum_of_table(const RateTable& table, const float* latents, size_t rows, float* by_rows,
                    float* by_table) {
  const size_t points = table.points;
  const float last = float(points - 2);
  // In float64: counts of equal latents go far beyond what float32 adds up exactly.
  std::vector<double> counts(table.taps * points);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t tap = 0; tap < table.taps; ++tap) {
      const size_t at = row * table.taps + tap;
      const float position = (latents[at] + table.range) * table.cells;
      // Written so that a latent that is no number gets a cell too; its place in it stays no
      // number.
      const float bounded = position > 0 ? (position < last ? position : last) : 0;
      const size_t cell = tap * points + size_t(bounded);
      const float inside = position - float(size_t(bounded));
      by_rows[at] = (table.values[cell + 1] - table.values[cell]) * table.cells;
      counts[cell] += 1 - inside;
      counts[cell + 1] += inside;
    }
  }
  double total = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    by_table[i] = float(counts[i]);
    total += counts[i] * table.values[i];
  }
  return total;
}

}  // namespace lnx
