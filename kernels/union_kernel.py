"""Form (b): a block of filters over the union of their channels, on tensor cores.

A program computes a block of pixels, of all images, for a block of filters, as products of small
matrices. The input's innermost dimension is its channels: a row of the first matrix is what a pixel
reads under one tap, gathered from runs of channels that are long enough for a load of 16 bytes. The
second matrix holds the weights of the block, zeros where a filter lacks a channel of the union.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .epilogue import activate
from .gathered_kernel import aligned


@triton.jit  # type: ignore[untyped-decorator]
def union_kernel(  # type: ignore[no-untyped-def]
    x,  # (images, height, width, channels), contiguous
    block_ptr,  # int32 (blocks + 1,): where each block's channels begin, multiples of BLOCK_K
    run,  # int32 (union / RUN,): runs of input channels of each block
    weights,  # dtype of x; of each block (KH * KW, BLOCK_F, its channels)
    order,  # int32 (blocks, BLOCK_F): filters of each block, -1 where it has fewer
    bias,  # float32 (filters,); not read without HAS_BIAS
    residual,  # as out; not read without HAS_RESIDUAL
    out,  # dtype of x, (images, out height, out width, filters), contiguous
    images,
    channels,
    height,
    width,
    out_height,
    out_width,
    filters,
    KH: tl.constexpr,
    KW: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    PH: tl.constexpr,
    PW: tl.constexpr,
    DH: tl.constexpr,
    DW: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr,
    ACTIVATION: tl.constexpr,
    RUN: tl.constexpr,  # channels lie in aligned runs of so many
    ORDERED: tl.constexpr,  # whether block b has filters b * BLOCK_F and following
    PRECISION: tl.constexpr,  # of float32 products: "ieee", "tf32" or "tf32x3"
    UPCAST: tl.constexpr,  # multiply as float32: the interpreter cannot multiply bfloat16
    BLOCK_P: tl.constexpr,
    BLOCK_F: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """A block of pixels of a block of filters; the comments at the arguments say what they are."""
    block = tl.program_id(1)
    pixel = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    plane = out_height * out_width
    inside = pixel < images * plane
    image = pixel // plane
    top = pixel % plane // out_width * SH - PH
    left = pixel % out_width * SW - PW
    channels = aligned(channels, RUN)
    start = x + image.to(tl.int64) * (height * width * channels)

    begin = tl.load(block_ptr + block)
    union = tl.load(block_ptr + block + 1) - begin
    steps = union // BLOCK_K
    k = tl.arange(0, BLOCK_K)
    f = tl.arange(0, BLOCK_F)
    first_weight = weights + begin.to(tl.int64) * (KH * KW * BLOCK_F)
    total = tl.zeros((BLOCK_P, BLOCK_F), dtype=tl.float32)
    for step in range(KH * KW * steps):
        tap = step // steps
        chunk = (step % steps) * BLOCK_K
        row = top + tap // KW * DH
        column = left + tap % KW * DW
        there = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        here = tl.load(run + (begin + chunk + k) // RUN) * RUN + k % RUN
        here = tl.max_contiguous(tl.multiple_of(here, RUN), RUN)
        address = start + (row * width + column) * channels
        value = tl.load(address[:, None] + here[None, :], mask=there[:, None], other=0.0)
        # A block's channels are a multiple of BLOCK_K, so rows of its weights are aligned.
        line = (tap * BLOCK_F + f) * aligned(union, BLOCK_K)
        weight = tl.load(first_weight + (line[None, :] + chunk + k[:, None]))
        if UPCAST:
            value = value.to(tl.float32)
            weight = weight.to(tl.float32)
        total = tl.dot(value, weight, total, input_precision=PRECISION)

    filter_index = block * BLOCK_F + f if ORDERED else tl.load(order + block * BLOCK_F + f)
    wanted = (filter_index >= 0) & (filter_index < filters)
    if HAS_BIAS:
        total += tl.load(bias + filter_index, mask=wanted, other=0.0)[None, :]
    offset = pixel.to(tl.int64)[:, None] * filters + filter_index[None, :]
    mask = inside[:, None] & wanted[None, :]
    if HAS_RESIDUAL:
        total += tl.load(residual + offset, mask=mask, other=0.0).to(tl.float32)
    total = activate(total, ACTIVATION)
    tl.store(out + offset, total.to(out.dtype.element_ty), mask=mask)


__all__ = ["union_kernel"]
