// Loads, stores and asynchronous copies. All memory is accessed through these functions: on the CPU
// they check each address.
#pragma once

#include "cuda/device/types.cuh"

namespace lnx {

#ifdef __CUDACC__

// Shared memory of the size that the launch gave, 16-byte aligned.
__device__ __forceinline__ unsigned char* shared_memory() {
  extern __shared__ __align__(16) unsigned char lnx_shared[];
  return lnx_shared;
}

// Global memory that nothing writes while the kernel runs. V is 2, 4, 8 or 16 bytes.
template <typename V>
__device__ __forceinline__ V load_global(const V* address) {
  static_assert(sizeof(V) == 2 || sizeof(V) == 4 || sizeof(V) == 8 || sizeof(V) == 16,
                "one instruction loads 2, 4, 8 or 16 bytes");
  V value;
  if constexpr (sizeof(V) == 16)
    reinterpret_cast<uint4&>(value) = __ldg(reinterpret_cast<const uint4*>(address));
  else if constexpr (sizeof(V) == 8)
    reinterpret_cast<uint2&>(value) = __ldg(reinterpret_cast<const uint2*>(address));
  else if constexpr (sizeof(V) == 4)
    reinterpret_cast<uint32_t&>(value) = __ldg(reinterpret_cast<const uint32_t*>(address));
  else
    reinterpret_cast<uint16_t&>(value) = __ldg(reinterpret_cast<const uint16_t*>(address));
  return value;
}

// Global memory that this thread itself may overwrite later: a residual in the output's place.
template <typename V>
__device__ __forceinline__ V load_written(const V* address) {
  return *address;
}

template <typename V>
__device__ __forceinline__ void store_global(V* address, const V& value) {
  *address = value;
}

template <typename V>
__device__ __forceinline__ V load_shared(const V* address) {
  return *address;
}

template <typename V>
__device__ __forceinline__ void store_shared(V* address, const V& value) {
  *address = value;
}

// Writes 4, 8 or 16 bytes to shared memory: the first `size` of them copied, the rest zeros. What
// is not copied is not read.
template <int Bytes>
__device__ __forceinline__ void copy_async(void* shared, const void* global, int size) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16, "asynchronous copies are 4 to 16 bytes");
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  if constexpr (Bytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(size)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(global), "n"(Bytes),
                 "r"(size)
                 : "memory");
}

// Ends a group of this thread's copies.
__device__ __forceinline__ void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

// Waits until all but the last `Pending` groups of this thread's copies have arrived; other threads
// see them after a barrier.
template <int Pending>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

#else

using emulated::commit_copies;
using emulated::copy_async;
using emulated::load_global;
using emulated::load_shared;
using emulated::load_written;
using emulated::shared_memory;
using emulated::store_global;
using emulated::store_shared;
using emulated::wait_for_copies;

#endif

}  // namespace lnx
