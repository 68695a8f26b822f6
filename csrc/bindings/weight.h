// How Python hands over the scale of a weight.
#pragma once

#include <pybind11/numpy.h>

#include <optional>
#include <stdexcept>

#include "lnx/packed_weight.h"

namespace lnx {

// One float for each filter, or none.
using Scale =
    std::optional<pybind11::array_t<float, pybind11::array::c_style | pybind11::array::forcecast>>;

// Null where there is none; std::invalid_argument for another length.
inline const float* scale_data(const PackedWeight& weight, const Scale& scale) {
  if (!scale) return nullptr;
  if (scale->size() != weight.shape().filters)
    throw std::invalid_argument("scale must hold one float for each filter");
  return scale->data();
}

}  // namespace lnx
