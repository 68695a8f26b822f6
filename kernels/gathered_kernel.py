"""Form (a): each filter reads only the channels of its own slices.

A program computes a block of outputs of one filter, walks the filter's list of nonzero slices, and
multiplies what lies under each tap. Nothing tests whether a tap is inside of the image: the
launcher passes an input with its padding around it, so a tap is one address, one load and one
multiply-add.

The block runs over pixels and, where the batch is the innermost dimension, over images first: then
neighbouring threads read neighbouring images under every tap, stride and dilation, and a thread's
elements are one aligned load of 16 bytes. With planes of pixels that is so in pointwise layers.

Offsets within a plane have 32 bits. Those of planes have 64 where a tensor holds 2**31 values, as a
batch that lies innermost soon does; elsewhere that would cost pointwise layers time.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .epilogue import activate


@triton.jit  # type: ignore[untyped-decorator]
def aligned(x, ALIGN: tl.constexpr):  # type: ignore[no-untyped-def]
    """``x``, a multiple of ``ALIGN``, so that the compiler sees it; hints at arguments are lost."""
    return x // ALIGN * ALIGN


@triton.jit  # type: ignore[untyped-decorator]
def gathered_kernel(  # type: ignore[no-untyped-def]
    x,  # (images, channels, padded height, padded width) by strides
    filter_ptr,  # int32 (filters + 1,)
    channel,  # int16 or int32 (slices,): first input channel of each slice
    values,  # float32 (slices, G * KH * KW)
    bias,  # float32 (filters,); not read without HAS_BIAS
    residual,  # strides of out; not read without HAS_RESIDUAL
    out,  # (images, filters, out height, out width) by strides
    group_channels,  # input channels of a group
    inner,  # images that lie innermost, in all tensors; 1 for planes of pixels
    pixels,  # out height * out width
    out_width,
    x_image,  # strides, in elements
    x_plane,
    x_row,
    out_image,
    out_plane,
    out_row,
    KH: tl.constexpr,
    KW: tl.constexpr,
    G: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    DH: tl.constexpr,
    DW: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr,
    ACTIVATION: tl.constexpr,
    FLAT: tl.constexpr,  # whether pixels follow each other without gaps, in input and output
    # A power of two that divides pixels * inner and the strides that are used; unless FLAT, also
    # those of rows, and inner.
    ALIGN: tl.constexpr,
    WIDE: tl.constexpr,  # whether planes lie so far from each other that offsets need 64 bits
    UNROLL: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """A block of outputs of one filter; the comments at the arguments say what they are."""
    OFFSET: tl.constexpr = tl.int64 if WIDE else tl.int32
    filter_index = tl.program_id(1)
    image = tl.program_id(2).to(tl.int64)
    element = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = element < aligned(pixels * inner, ALIGN)
    x_image = aligned(x_image, ALIGN)
    x_plane = aligned(x_plane, ALIGN)
    out_image = aligned(out_image, ALIGN)
    out_plane = aligned(out_plane, ALIGN)
    if FLAT:
        source = element
        target = element
    else:
        # Rows are whole vectors of images, so what a thread reads at once stays together.
        inner = aligned(inner, ALIGN)
        x_row = aligned(x_row, ALIGN)
        out_row = aligned(out_row, ALIGN)
        pixel = element // inner
        within = element % inner
        row = pixel // out_width
        column = pixel % out_width
        source = row * SH * x_row + column * SW * inner + within
        target = row * out_row + column * inner + within

    begin = tl.load(filter_ptr + filter_index)
    end = tl.load(filter_ptr + filter_index + 1)
    under = x + image * x_image + source
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    # Loads of several slices are under way at once.
    for index in tl.range(begin, end, loop_unroll_factor=UNROLL):
        first = tl.load(channel + index).to(tl.int32)
        weight = values + index * (G * KH * KW)
        for c in tl.static_range(G):
            mask = inside
            if G > 1:
                # A group's last slice may reach past the group's channels; those weights are zero,
                # but what lies there need not be finite, or there at all.
                mask = mask & (first % group_channels + c < group_channels)
            plane = under + (first + c).to(OFFSET) * x_plane
            for i in tl.static_range(KH):
                for j in tl.static_range(KW):
                    tap = plane + (i * DH * x_row + j * DW * inner)
                    value = tl.load(tap, mask=mask, other=0.0).to(tl.float32)
                    total += value * tl.load(weight + (c * KH + i) * KW + j)

    if HAS_BIAS:
        total += tl.load(bias + filter_index)
    offset = image * out_image + filter_index.to(OFFSET) * out_plane + target
    if HAS_RESIDUAL:
        total += tl.load(residual + offset, mask=inside, other=0.0).to(tl.float32)
    total = activate(total, ACTIVATION)
    tl.store(out + offset, total.to(out.dtype.element_ty), mask=inside)


__all__ = ["aligned", "gathered_kernel"]
