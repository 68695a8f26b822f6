// How images, windows and views come from Python.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <tuple>
#include <vector>

#include "lnx/runtime.h"

namespace lnx {

template <typename T>
using Array = pybind11::array_t<T, pybind11::array::c_style | pybind11::array::forcecast>;

template <typename T>
std::vector<T> to_vector(const Array<T>& a) {
  return std::vector<T>(a.data(), a.data() + a.size());
}

// (offset, channels, height, width, row_stride, channel_stride)
using ImageTuple = std::tuple<int64_t, int, int, int, int, int64_t>;
inline Image to_image(const ImageTuple& t) {
  return {std::get<0>(t), std::get<1>(t), std::get<2>(t),
          std::get<3>(t), std::get<4>(t), std::get<5>(t)};
}

// (kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w)
using WindowTuple = std::tuple<int, int, int, int, int, int, int, int>;
inline Window to_window(const WindowTuple& t) {
  return {std::get<0>(t), std::get<1>(t), std::get<2>(t), std::get<3>(t),
          std::get<4>(t), std::get<5>(t), std::get<6>(t), std::get<7>(t)};
}

// int64 (offset, shape..., strides...)
inline View to_view(const Array<int64_t>& a) { return View(to_vector(a)); }

// Adds the methods for steps beyond convolutions.
void bind_values(pybind11::class_<Network>& network);

}  // namespace lnx
