// Stands in for CUDA's header of this name: the words of the language, and as much of the runtime
// as launchers use.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>

#include "convert.h"
#include "machine.h"
#include "memory.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

namespace emulated {

// threadIdx.x and its kin ask the machine each time.
template <Index (*Ask)(), unsigned Index::* Axis>
struct Coordinate {
  operator unsigned() const { return Ask().*Axis; }
};
template <Index (*Ask)()>
struct Coordinates {
  Coordinate<Ask, &Index::x> x;
  Coordinate<Ask, &Index::y> y;
  Coordinate<Ask, &Index::z> z;
};

}  // namespace emulated

constexpr emulated::Coordinates<emulated::thread_index> threadIdx{};
constexpr emulated::Coordinates<emulated::block_index> blockIdx{};
constexpr emulated::Coordinates<emulated::block_size> blockDim{};
constexpr emulated::Coordinates<emulated::grid_size> gridDim{};

inline int min(int a, int b) { return b < a ? b : a; }

inline float __uint_as_float(uint32_t bits) { return emulated::bits_to_float(bits); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __ll2float_rn(long long value) { return static_cast<float>(value); }

inline void __syncthreads(int line = __builtin_LINE()) { emulated::sync_block(line); }
inline void __syncwarp(uint32_t mask = 0xffffffffu, int line = __builtin_LINE()) {
  emulated::sync_warp(mask, line);
}

inline float __shfl_sync(uint32_t mask, float value, int source, int line = __builtin_LINE()) {
  return emulated::bits_to_float(
      emulated::exchange(mask, emulated::float_to_bits(value), source, line));
}
inline float __shfl_xor_sync(uint32_t mask, float value, int bits, int line = __builtin_LINE()) {
  return __shfl_sync(mask, value, static_cast<int>(threadIdx.x % 32) ^ bits, line);
}
// Beyond the warp's ends a lane gets its own value.
inline float __shfl_up_sync(uint32_t mask, float value, int lanes, int line = __builtin_LINE()) {
  const int lane = threadIdx.x % 32;
  return __shfl_sync(mask, value, lane < lanes ? lane : lane - lanes, line);
}
inline float __shfl_down_sync(uint32_t mask, float value, int lanes, int line = __builtin_LINE()) {
  const int lane = threadIdx.x % 32;
  return __shfl_sync(mask, value, lane + lanes > 31 ? lane : lane + lanes, line);
}
inline uint32_t __ballot_sync(uint32_t mask, int vote, int line = __builtin_LINE()) {
  return emulated::ballot(mask, vote != 0, line);
}

// Atomic for ThreadSanitizer's sake: threads run in turn, and nothing comes in between.
template <typename T>
T atomicAdd(T* address, T value) {
  emulated::check_atomic(address, sizeof(T));
  T before;
  __atomic_load(address, &before, __ATOMIC_RELAXED);
  T after = before + value;
  __atomic_store(address, &after, __ATOMIC_RELAXED);
  return before;
}

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};

using cudaStream_t = void*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorInsufficientDriver = 35 };
enum cudaDeviceAttr {
  cudaDevAttrComputeCapabilityMajor,
  cudaDevAttrComputeCapabilityMinor,
  cudaDevAttrMaxSharedMemoryPerBlockOptin
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorInsufficientDriver ? "driver too old" : "an error of the runtime";
}

inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = emulated::options().device_count;
  return static_cast<cudaError_t>(emulated::options().count_error);
}

inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  const emulated::Options& device = emulated::options();
  *value = attribute == cudaDevAttrComputeCapabilityMajor   ? device.major
           : attribute == cudaDevAttrComputeCapabilityMinor ? device.minor
                                                            : device.shared_limit;
  return cudaSuccess;
}

template <typename Function>
cudaError_t cudaFuncSetAttribute(Function*, cudaFuncAttribute, int bytes) {
  return bytes <= emulated::options().shared_limit ? cudaSuccess : cudaErrorInvalidValue;
}

template <typename... Expected, typename... Given>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Expected...),
                               Given&&... arguments) {
  const dim3 grid = config->gridDim;
  emulated::run_grid({grid.x, grid.y, grid.z}, static_cast<int>(config->blockDim.x),
                     config->dynamicSmemBytes, [&] { kernel(arguments...); });
  return cudaSuccess;
}
