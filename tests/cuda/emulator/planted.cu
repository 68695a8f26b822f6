// A small kernel with mistakes planted in it, for the emulator to find.
#include "cuda/device/memory.cuh"
#include "cuda/device/mma.cuh"
#include "planted.h"

namespace {

using lnx::load_global;
using lnx::load_shared;
using lnx::shared_memory;
using lnx::store_global;
using lnx::store_shared;

constexpr int kThreads = 64;

struct Params {
  int count;
  const float* in;
  float* out;
  int* blocks;
};

// out[i]: the block's values in reverse order, each plus the sum of its half warp's.
template <Bug bug>
void reverse_kernel(const Params p) {
  const int thread = threadIdx.x, lane = thread % 32;
  const int i = static_cast<int>(blockIdx.x) * kThreads + thread;
  const bool inside = i < p.count;
  float* const shared = reinterpret_cast<float*>(shared_memory());
  store_shared(shared + thread + (bug == Bug::kSharedBounds),
               inside || bug == Bug::kGlobalBounds ? load_global(p.in + i) : 0.0f);
  if (bug == Bug::kDivergentBarrier && !inside) return;
  if (bug != Bug::kMissingBarrier && bug != Bug::kUncheckedBarrier) __syncthreads();
  const float value = load_shared(shared + kThreads - 1 - thread);
  const uint32_t half = lane < 16 ? 0x0000ffffu : 0xffff0000u;
  float sum = value;
  for (int distance = 1; distance < 16; distance *= 2) sum += __shfl_xor_sync(half, sum, distance);
  if (bug == Bug::kWrongLane) sum += __shfl_xor_sync(half, sum, 16);
  if (inside) store_global(p.out + i, value + sum);
  if (thread == 0) atomicAdd(p.blocks, 1);
}

// out [16][8] = in [16][8] x the 8 x 8 values after it.
template <Bug bug>
void product_kernel(const Params p) {
  const int q = threadIdx.x / 4, r = threadIdx.x % 4;
  const auto bits = [&](int index) { return lnx::to_tf32(load_global(p.in + index)); };
  const uint32_t a[4] = {bits(q * 8 + r), bits((q + 8) * 8 + r), bits(q * 8 + r + 4),
                         bits((q + 8) * 8 + r + 4)};
  const float* const second = p.in + 128;
  const int row = bug == Bug::kWrongFragment ? q % 4 : r;
  const int column = bug == Bug::kWrongFragment ? q / 4 + 2 * r : q;
  const uint32_t b[2] = {lnx::to_tf32(load_global(second + row * 8 + column)),
                         lnx::to_tf32(load_global(second + (row + 4) * 8 + column))};
  float c[4] = {};
  lnx::mma_tf32(c, a, b);
  for (int i = 0; i < 4; ++i) store_global(p.out + (q + i / 2 * 8) * 8 + 2 * r + i % 2, c[i]);
}

template <Bug bug>
void run(const Params& p) {
  if (bug == Bug::kNoneInProduct || bug == Bug::kWrongFragment)
    emulated::run_grid({1, 1, 1}, 32, 0, [&] { product_kernel<bug>(p); });
  else
    emulated::run_grid({static_cast<unsigned>((p.count + kThreads - 1) / kThreads), 1, 1}, kThreads,
                       kThreads * sizeof(float), [&] { reverse_kernel<bug>(p); });
}

}  // namespace

void run_planted(Bug bug, int count, const float* in, float* out, int* blocks) {
  const Params p{count, in, out, blocks};
  switch (bug) {
    case Bug::kNone:
      return run<Bug::kNone>(p);
    case Bug::kGlobalBounds:
      return run<Bug::kGlobalBounds>(p);
    case Bug::kSharedBounds:
      return run<Bug::kSharedBounds>(p);
    case Bug::kMissingBarrier:
      return run<Bug::kMissingBarrier>(p);
    case Bug::kDivergentBarrier:
      return run<Bug::kDivergentBarrier>(p);
    case Bug::kWrongLane:
      return run<Bug::kWrongLane>(p);
    case Bug::kUncheckedBarrier:
      emulated::options().check_races = false;
      return run<Bug::kUncheckedBarrier>(p);
    case Bug::kNoneInProduct:
      return run<Bug::kNoneInProduct>(p);
    case Bug::kWrongFragment:
      return run<Bug::kWrongFragment>(p);
  }
}
