// Coded bytes and streams as Python hands them over, and what is wrong with them.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "lnx/codec.h"

namespace lnx {

struct Bytes {
  explicit Bytes(const pybind11::buffer& buffer) : info(buffer.request()) {
    if (info.itemsize != 1 || info.ndim != 1 || (info.size > 0 && info.strides[0] != 1))
      throw pybind11::value_error("expected contiguous bytes");
    data = static_cast<const uint8_t*>(info.ptr);
    size = size_t(info.size);
  }
  pybind11::buffer_info info;
  const uint8_t* data;
  size_t size;
};

// Streams given as (weights, bytes), one after the other.
inline std::vector<Stream> to_streams(const Bytes& bytes,
                                      const std::vector<std::pair<size_t, size_t>>& streams,
                                      size_t weights) {
  std::vector<Stream> parts;
  size_t first = 0;
  size_t offset = 0;
  for (const auto& [count, size] : streams) {
    if (count > weights - first || size > bytes.size - offset)
      throw pybind11::value_error("streams reach beyond the weights or the bytes");
    parts.push_back({bytes.data + offset, size, first, count});
    first += count;
    offset += size;
  }
  return parts;
}

// None, or what is wrong.
inline pybind11::object defect(CodecStatus status) {
  if (status == CodecStatus::kOk) return pybind11::none();
  return pybind11::str(describe(status));
}

inline pybind11::list defects(const std::vector<CodecStatus>& statuses) {
  pybind11::list result;
  for (const CodecStatus status : statuses) result.append(defect(status));
  return result;
}

}  // namespace lnx
