// The last part of each instruction set's source: its table of kernels.
#pragma once

#include "cpu/kernels/conv3x3.h"
#include "cpu/kernels/conv3x3_direct.h"
#include "cpu/kernels/conv5x5.h"
#include "cpu/kernels/conv_flat.h"
#include "cpu/kernels/dense.h"
#include "cpu/kernels/pool.h"
#include "cpu/kernels/rows.h"
#include "cpu/kernels/stage.h"

#ifdef LNX_HAS_PAIRS
#include "cpu/kernels/conv3x3_pairs.h"
#include "cpu/kernels/conv3x3s2_pairs.h"
#define LNX_PAIRS \
  conv_pairs3x3, transform_strided_pairs, conv_pairs3x3s2, conv_pairs5x5, conv_pairs5x5s2
#else
#define LNX_PAIRS nullptr, nullptr, nullptr, nullptr, nullptr
#endif

#ifdef LNX_MANY_REGISTERS
#include "cpu/kernels/winograd3x3.h"
#include "cpu/kernels/winograd7x7s2.h"
#define LNX_WINOGRAD winograd_rows, conv_winograd3x3, conv_winograd7x7s2
#define LNX_WINOGRAD_TILE kWinogradTile
#else
#define LNX_WINOGRAD nullptr, nullptr, nullptr
#define LNX_WINOGRAD_TILE 0
#endif

#if defined(LNX_MANY_REGISTERS) && defined(LNX_HAS_PAIRS)
#include "cpu/kernels/winograd3x3_pairs.h"
#define LNX_WINOGRAD_PAIRS winograd_pairs, conv_winograd_pairs3x3
#else
#define LNX_WINOGRAD_PAIRS nullptr, nullptr
#endif

namespace lnx::LNX_ISA {

const KernelTable kTable = {
    {kLanes, kFlatTile, kFlatTileBlocked, kFilterBlock, kRowsTile, kRowsMax, kRowVectorsMax,
     LNX_WINOGRAD_TILE},
    conv_flat,
    conv_flat_blocked,
    conv_rows3x3,
    conv_rows3x3s2,
    conv_direct3x3s2,
    conv_rows5x5,
    conv_rows5x5s2,
    LNX_PAIRS,
    LNX_WINOGRAD,
    LNX_WINOGRAD_PAIRS,
    stage,
    pool,
    global_average,
    elementwise,
    row_binary,
    row_affine,
    row_axpy,
    row_reduce,
    row_exp,
    linear_dense,
    linear_sparse,
};

}  // namespace lnx::LNX_ISA
