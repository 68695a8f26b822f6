// Launches form (b).
#include "cuda/blocks/conv_blocks.cuh"
#include "cuda/blocks/tile.h"
#include "cuda/config.h"
#include "cuda/host.h"

// Tiles: filters x pixels of a block.
#define LNX_BLOCKS_KERNELS(type, Math)                                                \
  LNX_KERNEL(lnx_##type##_uconv_32x64__cuda, (lnx::BlocksConfig<Math, 2>::kThreads),  \
             lnx::BlocksParams, conv_blocks<Math LNX_COMMA 2>)                        \
  LNX_KERNEL(lnx_##type##_uconv_32x128__cuda, (lnx::BlocksConfig<Math, 4>::kThreads), \
             lnx::BlocksParams, conv_blocks<Math LNX_COMMA 4>)
#define LNX_COMMA ,

LNX_BLOCKS_KERNELS(tf32x3, lnx::Tf32x3)
LNX_BLOCKS_KERNELS(tf32, lnx::Tf32)
LNX_BLOCKS_KERNELS(f16, lnx::Direct<lnx::Half>)
LNX_BLOCKS_KERNELS(bf16, lnx::Direct<lnx::BFloat>)

namespace lnx {
namespace {

using Kernel = void (*)(BlocksParams);

// By CudaMath: 64 and 128 pixels.
constexpr Kernel kKernels[4][2] = {
    {lnx_tf32x3_uconv_32x64__cuda, lnx_tf32x3_uconv_32x128__cuda},
    {lnx_tf32_uconv_32x64__cuda, lnx_tf32_uconv_32x128__cuda},
    {lnx_f16_uconv_32x64__cuda, lnx_f16_uconv_32x128__cuda},
    {lnx_bf16_uconv_32x64__cuda, lnx_bf16_uconv_32x128__cuda},
};

template <typename Math>
TileLimits limits_of() {
  using Config = BlocksConfig<Math, 2>;
  return {static_cast<int>(sizeof(typename Math::Storage)), Config::kChannels, Config::kStages,
          Config::kTapBytes, Config::kStageBytes};
}

TileLimits tile_limits(CudaMath math) {
  switch (math) {
    case CudaMath::kFloat32:
      return limits_of<Tf32x3>();
    case CudaMath::kTf32:
      return limits_of<Tf32>();
    default:
      return limits_of<Direct<Half>>();
  }
}

CudaType type_of(CudaMath math) {
  if (math == CudaMath::kFloat16) return CudaType::kFloat16;
  if (math == CudaMath::kBFloat16) return CudaType::kBFloat16;
  return CudaType::kFloat32;
}

}  // namespace

CudaTile cuda_blocks_tile(const CudaConv& conv, CudaMath math, int64_t blocks, int tile_runs,
                          int64_t shared_limit) {
  const Geometry g = to_geometry(conv);
  const auto tile =
      choose_tile(g, tile_limits(math), input_alignment(conv, g), shared_limit, blocks, tile_runs);
  if (!tile) return {0, 0, 0};
  return {tile->tile_rows, tile->tile_runs * 8, tile->shared_bytes};
}

bool cuda_blocks_fit(const CudaConv& conv, CudaMath math) {
  return cuda_blocks_tile(conv, math, 1, 0, shared_memory_limit()).rows > 0;
}

void cuda_conv_blocks(const CudaConv& conv, const CudaBlocks& weight) {
  using Config = BlocksConfig<Tf32, 2>;
  if (type_of(weight.math) != conv.type)
    throw std::invalid_argument("the weights were arranged for tensors of another type");
  if (weight.blocks < 1 || weight.blocks > UINT16_MAX)
    throw std::invalid_argument("expected 1 to 65535 blocks of filters");
  BlocksParams p{};
  p.g = to_geometry(conv);
  p.out = to_output(conv, p.g);
  p.input = conv.input;
  p.order = weight.order;
  p.block_ptr = weight.block_ptr;
  p.channel = weight.channel;
  p.fragments = weight.fragments;
  p.copy_bytes = input_alignment(conv, p.g);
  const auto tile = choose_tile(p.g, tile_limits(weight.math), p.copy_bytes, shared_memory_limit(),
                                weight.blocks, weight.tile_runs);
  if (!tile) throw CudaError("no tile of this window fits into shared memory: use form (a)");
  p.tile_rows = tile->tile_rows;
  p.tile_runs = tile->tile_runs;
  p.tiles_x = tile->tiles_x;
  p.tiles_y = tile->tiles_y;
  p.copies_per_row = tile->copies_per_row;
  p.in_rows = tile->in_rows;
  p.row_pitch = tile->row_pitch;
  p.channel_pitch = tile->channel_pitch;
  p.shift = tile->shift;
  p.taps_per_step = tile->taps_per_step;
  const dim3 grid(static_cast<unsigned>(tile->tiles() * p.g.images),
                  static_cast<unsigned>(weight.blocks));
  launch(kKernels[static_cast<int>(weight.math)][tile->runs / 16], grid, Config::kThreads,
         static_cast<int>(tile->shared_bytes), conv.stream, p);
}

int64_t cuda_fragment_bytes(CudaMath math, int64_t union_channels, int64_t taps) {
  return union_channels / FilterBlocks::kChannels * taps * tile_limits(math).tap_bytes;
}

}  // namespace lnx
