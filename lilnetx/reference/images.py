"""Convolution, pooling and resizing of images ``(N, C, H, W)``, in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lilnetx.graph.ir import AdaptivePool2d, AvgPool2d, Conv2d, ConvTranspose2d, MaxPool2d, Resize
from lilnetx.graph.ops.pool import Pool2d, pool_output
from lilnetx.graph.ops.weighted import conv_output

Array = NDArray[np.float64]


def conv2d(x: Array, weight: Array, bias: Array, op: Conv2d) -> Array:
    """Convolution as a sum over kernel taps of matrix products with shifted images.

    Args:
        x: Shape ``(N, C, H, W)``.
        weight: Shape ``(F, C/groups, Kh, Kw)``.
        bias: Shape ``(F,)``.
        op: Stride, padding, dilation and groups.

    Returns:
        Shape ``(N, F, Ho, Wo)``.
    """
    n, channels, height, width = x.shape
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = op.kernel, op.stride, op.padding, op.dilation
    ho, wo = conv_output(height, kh, sh, ph, dh), conv_output(width, kw, sw, pw, dw)
    groups, filters = op.groups, weight.shape[0]
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    by_group = weight.reshape(groups, filters // groups, channels // groups, kh, kw)
    out = np.zeros((n, groups, filters // groups, ho * wo))
    for i in range(kh):
        for j in range(kw):
            top, left = i * dh, j * dw
            rows = slice(top, top + (ho - 1) * sh + 1, sh)
            columns = slice(left, left + (wo - 1) * sw + 1, sw)
            image = padded[:, :, rows, columns].reshape(n, groups, channels // groups, ho * wo)
            out += by_group[..., i, j] @ image
    return out.reshape(n, filters, ho, wo) + bias[:, None, None]


def conv_transpose2d(x: Array, weight: Array, bias: Array, op: ConvTranspose2d) -> Array:
    """Transposed convolution: each tap adds the image, spread by the stride, to the output.

    Args:
        x: Shape ``(N, C, H, W)``.
        weight: Shape ``(F, C/groups, Kh, Kw)``.
        bias: Shape ``(F,)``.
        op: Stride, padding, dilation and groups.

    Returns:
        Shape ``(N, F, Ho, Wo)``.
    """
    n, channels, height, width = x.shape
    _, ho, wo = op.output_shape([x.shape[1:]])
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = op.kernel, op.stride, op.padding, op.dilation
    groups, filters = op.groups, weight.shape[0]
    by_group = weight.reshape(groups, filters // groups, channels // groups, kh, kw)
    image = x.reshape(n, groups, channels // groups, height * width)
    full_h = max((height - 1) * sh + (kh - 1) * dh + 1, ho + ph)
    full_w = max((width - 1) * sw + (kw - 1) * dw + 1, wo + pw)
    full = np.zeros((n, filters, full_h, full_w))
    for i in range(kh):
        for j in range(kw):
            part = (by_group[..., i, j] @ image).reshape(n, filters, height, width)
            rows = slice(i * dh, i * dh + (height - 1) * sh + 1, sh)
            columns = slice(j * dw, j * dw + (width - 1) * sw + 1, sw)
            full[:, :, rows, columns] += part
    return full[:, :, ph : ph + ho, pw : pw + wo] + bias[:, None, None]


def _pool_taps(x: Array, op: Pool2d, fill: float) -> list[Array]:
    """The image under each tap of the window, ``(N, C, Ho, Wo)`` each."""
    pads, sizes = [], []
    for i in (0, 1):
        size = x.shape[2 + i]
        out = pool_output(
            size,
            op.kernel[i],
            op.stride[i],
            op.padding[i],
            op.ceil_mode,
            op.ends[i],
            op.dilation[i],
        )
        last = (out - 1) * op.stride[i] + op.dilation[i] * (op.kernel[i] - 1) + 1
        pads.append((op.padding[i], max(0, last - op.padding[i] - size)))
        sizes.append(out)
    padded = np.pad(x, ((0, 0), (0, 0), *pads), constant_values=fill)
    taps = []
    for i in range(op.kernel[0]):
        for j in range(op.kernel[1]):
            top, left = i * op.dilation[0], j * op.dilation[1]
            rows = slice(top, top + (sizes[0] - 1) * op.stride[0] + 1, op.stride[0])
            columns = slice(left, left + (sizes[1] - 1) * op.stride[1] + 1, op.stride[1])
            taps.append(padded[:, :, rows, columns])
    return taps


def max_pool2d(x: Array, op: MaxPool2d) -> Array:
    """Maximum over windows of ``(N, C, H, W)``."""
    return np.asarray(np.max(_pool_taps(x, op, -np.inf), axis=0))


def avg_pool2d(x: Array, op: AvgPool2d) -> Array:
    """Mean over windows of ``(N, C, H, W)``.

    The divisor counts the window's pixels inside the image, and inside its padding too when
    ``count_include_pad``; what a window of ``ceil_mode`` covers past the padding never counts.
    """
    taps = _pool_taps(x, op, 0.0)
    (top, left), (bottom, right) = op.padding, op.ends
    inside = np.pad(np.ones(x.shape[2:]), ((top, bottom), (left, right)))
    if op.count_include_pad:
        inside = np.ones_like(inside)
    # As an image that is padded already, so that nothing else counts.
    bare = AvgPool2d(op.kernel, op.stride, (0, 0), op.ceil_mode, dilation=op.dilation)
    counts = np.sum(_pool_taps(inside[None, None], bare, 0.0), axis=0)
    height, width = taps[0].shape[2:]
    return np.asarray(sum(taps) / counts[:, :, :height, :width])


def adaptive_pool2d(x: Array, op: AdaptivePool2d, *, average: bool) -> Array:
    """Mean or maximum over windows of nearly equal sizes."""
    height, width = op.size
    reduce = np.mean if average else np.max
    out = np.empty((*x.shape[:2], height, width))
    for i in range(height):
        top, bottom = i * x.shape[2] // height, -(-(i + 1) * x.shape[2] // height)
        for j in range(width):
            left, right = j * x.shape[3] // width, -(-(j + 1) * x.shape[3] // width)
            out[:, :, i, j] = reduce(x[:, :, top:bottom, left:right], axis=(2, 3))
    return out


def resize(x: Array, op: Resize) -> Array:
    """Nearest or bilinear interpolation."""
    _, height, width = op.output_shape([x.shape[1:]])
    for axis, out in ((0, height), (1, width)):
        size = x.shape[2 + axis]
        if op.mode == "nearest":
            x = np.take(x, op.nearest(axis, size, out), axis=2 + axis)
            continue
        at = np.clip(op.positions(axis, size, out), 0, size - 1)
        low = np.floor(at).astype(int)
        share = (at - low).reshape((-1, 1) if axis == 0 else (-1,))
        above = np.take(x, np.minimum(low + 1, size - 1), axis=2 + axis)
        x = np.take(x, low, axis=2 + axis) * (1 - share) + above * share
    return x


__all__ = ["adaptive_pool2d", "avg_pool2d", "conv2d", "conv_transpose2d", "max_pool2d", "resize"]
