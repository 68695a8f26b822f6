// What csrc/cuda/device has inline assembly for, in C++.
#pragma once

#include "convert.h"
#include "machine.h"
#include "memory.h"

namespace emulated {

inline unsigned char* shared_memory() { return shared_base(); }

template <typename V>
V load_global(const V* address) {
  check_global(address, sizeof(V), false);
  return *address;
}

template <typename V>
V load_written(const V* address) {
  return load_global(address);
}

template <typename V>
void store_global(V* address, const V& value) {
  check_global(address, sizeof(V), true);
  *address = value;
}

template <typename V>
V load_shared(const V* address) {
  check_shared(address, sizeof(V), false);
  return *address;
}

template <typename V>
void store_shared(V* address, const V& value) {
  check_shared(address, sizeof(V), true);
  *address = value;
}

template <int Bytes>
void copy_async(void* shared, const void* global, int size) {
  start_copy(shared, global, size, Bytes);
}

inline void commit_copies() { end_copy_group(); }

template <int Pending>
void wait_for_copies() {
  finish_copies(Pending);
}

template <int Depth>
void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], PairKind kind,
         int line = __builtin_LINE()) {
  mma_sync({c, a, b}, Depth, kind, line);
}

}  // namespace emulated
