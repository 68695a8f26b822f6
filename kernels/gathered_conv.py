"""Gathered-channel convolution in Triton: each filter reads only the channels of its slices.

No image is unfolded: a program computes a block of output pixels of one filter, walks the filter's
list of nonzero slices, and reads the input under each tap in place. Per output pixel and tap there
is one load and one multiply-add, so the first limit is load bandwidth; the loads of a tap are
contiguous for stride 1.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lilnetx.errors import InputError

from .gathered_slices import GatheredSlices

# Pixels of a program. Larger blocks share a slice's weights among more pixels but leave more of the
# last block of a small image empty.
_MAX_BLOCK = 256
_MIN_BLOCK = 32
_DTYPES = (torch.float32, torch.float16)
# CUDA's limit of the second and third grid dimension.
_MAX_GRID = 65535


@triton.jit  # type: ignore[untyped-decorator]
def _gathered_conv_kernel(  # type: ignore[no-untyped-def]
    x,  # float32 or float16 (N, channels, height, width), contiguous
    filter_ptr,  # int32 (filters + 1,)
    channel,  # int16 or int32 (nnz,): first input channel of each slice
    values,  # float32 (nnz, G * KH * KW)
    bias,  # float32 (filters,); not read without HAS_BIAS
    residual,  # as out; not read without HAS_RESIDUAL
    out,  # dtype of x, (N, filters, out_height, out_width), contiguous
    channels,
    group_channels,
    height,
    width,
    out_height,
    out_width,
    KH: tl.constexpr,
    KW: tl.constexpr,
    G: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    PH: tl.constexpr,
    PW: tl.constexpr,
    DH: tl.constexpr,
    DW: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr,
    RELU: tl.constexpr,
    BLOCK: tl.constexpr,
):
    image = tl.program_id(2)
    filter_index = tl.program_id(1)
    filters = tl.num_programs(1)
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    pixels = out_height * out_width
    inside = pixel < pixels
    top = pixel // out_width * SH - PH
    left = pixel % out_width * SW - PW

    plane = height * width
    source = x + image.to(tl.int64) * channels * plane
    begin = tl.load(filter_ptr + filter_index)
    end = tl.load(filter_ptr + filter_index + 1)
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for index in range(begin, end):
        first = tl.load(channel + index).to(tl.int32)
        weight = values + index * (G * KH * KW)
        for c in tl.static_range(G):
            # A group's last slice may reach past the group's channels; those weights are zero,
            # but what lies there need not be finite, or there at all.
            there = first % group_channels + c < group_channels
            for i in tl.static_range(KH):
                row = top + i * DH
                row_inside = inside & there & (row >= 0) & (row < height)
                for j in tl.static_range(KW):
                    column = left + j * DW
                    mask = row_inside & (column >= 0) & (column < width)
                    address = source + (first + c) * plane + row * width + column
                    value = tl.load(address, mask=mask, other=0.0).to(tl.float32)
                    total += value * tl.load(weight + (c * KH + i) * KW + j)

    if HAS_BIAS:
        total += tl.load(bias + filter_index)
    offset = (image.to(tl.int64) * filters + filter_index) * pixels + pixel
    if HAS_RESIDUAL:
        total += tl.load(residual + offset, mask=inside, other=0.0).to(tl.float32)
    if RELU:
        total = tl.maximum(total, 0.0)
    tl.store(out + offset, total.to(out.dtype.element_ty), mask=inside)


def gathered_conv(
    x: Tensor,
    slices: GatheredSlices,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    relu: bool = False,
) -> Tensor:
    """Convolution with packed slices, then bias, residual and ReLU, in this order.

    Sums are float32 whatever the input's dtype.

    Args:
        x: float32 or float16, shape ``(N, C, H, W)``; made contiguous where it is not.
        slices: The layer's slices, on the device of ``x``.
        stride: Vertical and horizontal, in pixels.
        padding: Zeros at top and bottom, left and right, in pixels.
        dilation: Distance of taps, in pixels.
        bias: float32, shape ``(F,)``.
        residual: Added to the output: its shape, dtype and device.
        relu: Whether negative outputs become 0.

    Returns:
        The dtype and device of ``x``, shape ``(N, F, Ho, Wo)``, contiguous.

    Raises:
        InputError: A tensor has the wrong shape, dtype or device, or a number is out of range.
    """
    (sh, sw), (ph, pw), (dh, dw) = _pair(stride), _pair(padding), _pair(dilation)
    if min(sh, sw, dh, dw) < 1 or min(ph, pw) < 0:
        raise InputError(
            f"stride {(sh, sw)}, padding {(ph, pw)}, dilation {(dh, dw)}: stride and dilation must "
            "be positive and padding not negative"
        )
    if x.ndim != 4 or x.shape[1] != slices.in_channels:
        raise InputError(
            f"input has shape {tuple(x.shape)}, expected (N, {slices.in_channels}, H, W)"
        )
    if x.dtype not in _DTYPES:
        raise InputError(f"input is {x.dtype}, expected torch.float32 or torch.float16")
    images, channels, height, width = x.shape
    kh, kw = slices.kernel
    out_height = (height + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    out_width = (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    if out_height < 1 or out_width < 1:
        raise InputError(f"a {kh}×{kw} kernel leaves no pixel of an input of {tuple(x.shape)}")
    shape = (images, slices.filters, out_height, out_width)
    _check("bias", bias, (slices.filters,), torch.float32, x.device)
    _check("residual", residual, shape, x.dtype, x.device)
    for name in ("filter_ptr", "channel", "values"):
        if getattr(slices, name).device != x.device:
            raise InputError(f"the slices are not on the input's device, {x.device}")
    if max(slices.filters, images) > _MAX_GRID:
        raise InputError(
            f"{images} images of {slices.filters} filters: expected at most {_MAX_GRID} of either"
        )
    if max(channels * height * width, slices.values.numel()) >= 2**31:
        raise InputError("an image or the slices hold 2**31 or more values")

    out = torch.empty(shape, dtype=x.dtype, device=x.device)
    pixels = out_height * out_width
    if images == 0 or slices.filters == 0:
        return out
    block = min(_MAX_BLOCK, max(_MIN_BLOCK, triton.next_power_of_2(pixels)))
    grid = (triton.cdiv(pixels, block), slices.filters, images)
    _gathered_conv_kernel[grid](
        x.contiguous(),
        slices.filter_ptr,
        slices.channel,
        slices.values,
        out if bias is None else bias.contiguous(),
        out if residual is None else residual.contiguous(),
        out,
        channels,
        channels // slices.groups,
        height,
        width,
        out_height,
        out_width,
        KH=kh,
        KW=kw,
        G=slices.slice_channels,
        SH=sh,
        SW=sw,
        PH=ph,
        PW=pw,
        DH=dh,
        DW=dw,
        HAS_BIAS=bias is not None,
        HAS_RESIDUAL=residual is not None,
        RELU=relu,
        BLOCK=block,
        num_warps=max(1, block // 64),
    )
    return out


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _check(
    name: str,
    tensor: Tensor | None,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    if tensor is None:
        return
    found = (tuple(tensor.shape), tensor.dtype, tensor.device)
    if found != (shape, dtype, device):
        raise InputError(f"{name} is {found}, expected {(shape, dtype, device)}")


__all__ = ["gathered_conv"]
