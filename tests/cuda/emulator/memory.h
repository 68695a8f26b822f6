// Checked memory: every access lies within a buffer or within the block's shared memory, is
// aligned, reads what was written, and races with no other thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace emulated {

// Memory that kernels may use, of exactly so many bytes, 16-byte aligned.
class Buffer {
 public:
  // `name` is for messages. Starts as copies of `bytes`, or as NaN of every type.
  Buffer(const std::string& name, const void* data, size_t bytes);
  Buffer(const std::string& name, size_t bytes, bool writable = true);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  template <typename T = void>
  T* get() const {
    return reinterpret_cast<T*>(data_);
  }
  size_t bytes() const { return bytes_; }

 private:
  char* data_;
  size_t bytes_;
};

// The running thread reads or writes these bytes.
void check_global(const void* address, size_t bytes, bool write);
void check_shared(const void* address, size_t bytes, bool write);

// An atomic operation, on either kind of memory; atomic operations race with nothing.
void check_atomic(const void* address, size_t bytes);

// A new block's shared memory, with nothing in it.
void clear_shared(size_t bytes);
unsigned char* shared_base();

// Asynchronous copies of the running thread: the first `size` of `bytes`, then zeros.
void start_copy(void* shared, const void* global, int size, int bytes);
void end_copy_group();
// All but the last `pending` groups have arrived.
void finish_copies(int pending);
// The thread has ended.
void forget_copies(int thread);

}  // namespace emulated
