// Reads what write_cases.py wrote: little-endian integers of 8 bytes and floats of 4 bytes, on
// machines of either byte order. Texts and arrays begin with their length.
#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace lnx_test {

class CaseReader {
 public:
  explicit CaseReader(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot open " + path);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
  }

  bool at_end() const { return next_ == bytes_.size(); }

  int64_t integer() { return static_cast<int64_t>(unsigned_of(8)); }

  float real() {
    const auto bits = static_cast<uint32_t>(unsigned_of(4));
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }

  std::string text() {
    const std::vector<uint8_t> raw = bytes();
    return {raw.begin(), raw.end()};
  }

  std::vector<uint8_t> bytes() {
    const size_t count = length(1);
    const auto begin = bytes_.begin() + static_cast<std::ptrdiff_t>(next_);
    next_ += count;
    return {begin, begin + static_cast<std::ptrdiff_t>(count)};
  }

  template <typename T>
  std::vector<T> integers() {
    std::vector<T> values(length(8));
    for (T& value : values) value = static_cast<T>(integer());
    return values;
  }

  std::vector<float> reals() {
    std::vector<float> values(length(4));
    for (float& value : values) value = real();
    return values;
  }

 private:
  size_t length(size_t bytes_each) {
    const auto count = static_cast<uint64_t>(integer());
    if (count > (bytes_.size() - next_) / bytes_each) throw std::runtime_error("file too short");
    return static_cast<size_t>(count);
  }

  uint64_t unsigned_of(size_t count) {
    if (bytes_.size() - next_ < count) throw std::runtime_error("file too short");
    uint64_t value = 0;
    for (size_t i = 0; i < count; ++i)
      value |= static_cast<uint64_t>(static_cast<uint8_t>(bytes_[next_ + i])) << 8 * i;
    next_ += count;
    return value;
  }

  std::vector<char> bytes_;
  size_t next_ = 0;
};

}  // namespace lnx_test
