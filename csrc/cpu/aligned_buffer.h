#pragma once

#include <cstddef>
#include <cstring>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace lnx {

// Zeroed memory for plain values, aligned to cache lines; large buffers ask for large pages.
template <typename T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t count) : count_(count) {
    const size_t bytes = count * sizeof(T);
    alignment_ = bytes >= kLargePage ? kLargePage : 64;
    data_ = static_cast<T*>(::operator new(bytes + 64, std::align_val_t{alignment_}));
#if defined(__linux__)
    if (alignment_ == kLargePage) madvise(data_, bytes, MADV_HUGEPAGE);
#endif
    std::memset(static_cast<void*>(data_), 0, bytes + 64);
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept { swap(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~AlignedBuffer() {
    if (data_) ::operator delete(data_, std::align_val_t{alignment_});
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return count_; }

 private:
  static constexpr size_t kLargePage = size_t{2} << 20;

  void swap(AlignedBuffer& other) {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    std::swap(alignment_, other.alignment_);
  }

  T* data_ = nullptr;
  size_t count_ = 0;
  size_t alignment_ = 64;
};

}  // namespace lnx
