"""What ONNX operators on images become: convolution, pooling, resizing, batch norm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lilnetx.graph import ir, lowering
from lilnetx.graph.builder import RefusalError, Value
from lilnetx.graph.folding import affine_of_batch_norm
from lilnetx.graph.onnx_context import OnnxNode


def _padding(
    node: OnnxNode, sizes: list[int], kernel: list[int], stride: list[int], dilation: list[int]
) -> tuple[list[int], list[int]]:
    """Padding before and after each axis, whatever ``auto_pad`` says."""
    auto = node.attribute("auto_pad", "NOTSET")
    rank = len(kernel)
    if auto in ("NOTSET", ""):
        pads = [int(n) for n in node.attribute("pads", [0] * 2 * rank)]
        return pads[:rank], pads[rank:]
    if auto == "VALID":
        return [0] * rank, [0] * rank
    begin, end = [], []
    for size, k, s, d in zip(sizes, kernel, stride, dilation, strict=True):
        total = max((math.ceil(size / s) - 1) * s + d * (k - 1) + 1 - size, 0)
        less, more = total // 2, total - total // 2
        begin.append(less if auto == "SAME_UPPER" else more)
        end.append(more if auto == "SAME_UPPER" else less)
    return begin, end


def _window(node: OnnxNode, kernel: list[int]) -> tuple[list[int], list[int]]:
    rank = len(kernel)
    stride = [int(n) for n in node.attribute("strides", [1] * rank)]
    dilation = [int(n) for n in node.attribute("dilations", [1] * rank)]
    return stride, dilation


def conv(node: OnnxNode) -> Value:
    """Conv."""
    x, weight = node.value(0), node.required(1, "a weight")
    bias = node.array(2, "a bias")
    kernel = [int(n) for n in weight.shape[2:]]
    stride, dilation = _window(node, kernel)
    begin, end = _padding(node, list(x.shape[2:]), kernel, stride, dilation)
    groups = int(node.attribute("group", 1))
    return lowering.conv(node.build, x, weight, bias, stride, begin, end, dilation, groups)


def conv_transpose(node: OnnxNode) -> Value:
    """ConvTranspose."""
    x, weight = node.value(0), node.required(1, "a weight")
    bias = node.array(2, "a bias")
    kernel = [int(n) for n in weight.shape[2:]]
    stride, dilation = _window(node, kernel)
    rank = len(kernel)
    extra = [int(n) for n in node.attribute("output_padding", [0] * rank)]
    wanted = node.attribute("output_shape")
    auto = node.attribute("auto_pad", "NOTSET")
    if wanted or auto in ("SAME_UPPER", "SAME_LOWER"):
        sizes = (
            list(wanted)[-rank:]
            if wanted
            else [n * s for n, s in zip(x.shape[2:], stride, strict=True)]
        )
        begin, end = [], []
        for i, size in enumerate(sizes):
            full = (x.shape[2 + i] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 + extra[i]
            total = full - int(size)
            # Without SAME_UPPER the rest goes to the beginning.
            less, more = total // 2, total - total // 2
            begin.append(less if auto == "SAME_UPPER" else more)
            end.append(more if auto == "SAME_UPPER" else less)
            if total < 0:
                begin[i], end[i] = 0, 0
                extra[i] -= total
    else:
        begin, end = _padding(node, list(x.shape[2:]), kernel, stride, dilation)
    groups = int(node.attribute("group", 1))
    return lowering.conv_transpose(
        node.build, x, weight, bias, stride, begin, end, extra, dilation, groups
    )


def batch_norm(node: OnnxNode) -> Value:
    """BatchNormalization as it evaluates."""
    if node.attribute("training_mode", 0) or node.outputs > 1:
        raise RefusalError("normalises by the statistics of the batch")
    names = ("a scale", "a bias", "a mean", "a variance")
    scale, shift, mean, variance = (node.required(i + 1, what) for i, what in enumerate(names))
    epsilon = float(node.attribute("epsilon", 1e-5))
    both = affine_of_batch_norm(scale, shift, mean, variance, epsilon)
    return lowering.batch_norm(node.build, node.value(0), *both)


def _pool(node: OnnxNode, *, average: bool) -> Value:
    if node.outputs > 1:
        raise RefusalError("is asked for the indices of the maxima")
    if node.attribute("storage_order", 0):
        raise RefusalError("with column-major storage order")
    x = node.value(0)
    kernel = [int(n) for n in node.attribute("kernel_shape")]
    stride, dilation = _window(node, kernel)
    begin, end = _padding(node, list(x.shape[2:]), kernel, stride, dilation)
    return lowering.pool(
        node.build,
        x,
        average=average,
        kernel=kernel,
        stride=stride,
        begin=begin,
        end=end,
        dilation=dilation,
        ceil_mode=bool(node.attribute("ceil_mode", 0)),
        count_include_pad=bool(node.attribute("count_include_pad", 0)),
    )


def max_pool(node: OnnxNode) -> Value:
    """MaxPool."""
    return _pool(node, average=False)


def average_pool(node: OnnxNode) -> Value:
    """AveragePool."""
    return _pool(node, average=True)


def global_pool(node: OnnxNode) -> Value:
    """GlobalAveragePool and GlobalMaxPool."""
    x = node.value(0)
    size = [1] * (len(x.shape) - 2)
    average = node.kind == "GlobalAveragePool"
    return lowering.adaptive_pool(node.build, x, size, average=average)


def resize(node: OnnxNode) -> Value:
    """Resize, nearest or linear, of images."""
    x = node.value(0)
    mode = node.attribute("mode", "nearest")
    coordinates = node.attribute("coordinate_transformation_mode", "half_pixel")
    if mode not in ("nearest", "linear") or node.attribute("antialias", 0):
        raise RefusalError(f"with mode {mode!r}" + (" and antialias" if mode == "linear" else ""))
    if coordinates not in ("asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel"):
        raise RefusalError(f"with coordinate_transformation_mode {coordinates!r}")
    policy = node.attribute("keep_aspect_ratio_policy", "stretch")
    scales, sizes = node.array(2, "scales"), node.integers(3, "sizes")
    axes = [int(a) % len(x.shape) for a in node.attribute("axes", range(len(x.shape)))]
    size: tuple[int, int] | None = None
    full = [1.0] * len(x.shape)
    if scales is not None and scales.size:
        for axis, scale in zip(axes, np.asarray(scales).reshape(-1), strict=True):
            full[axis] = float(scale)
    elif sizes:
        wanted = list(x.shape)
        for axis, n in zip(axes, sizes, strict=True):
            wanted[axis] = n
        ratios = [wanted[a] / x.shape[a] for a in axes]
        if policy != "stretch":
            ratio = min(ratios) if policy == "not_larger" else max(ratios)
            for axis in axes:
                wanted[axis] = math.floor(x.shape[axis] * ratio + 0.5)
                full[axis] = ratio
        elif any(wanted[a] % x.shape[a] for a in axes):
            full = [w / n for w, n in zip(wanted, x.shape, strict=True)]
        else:
            full = [float(w // n) for w, n in zip(wanted, x.shape, strict=True)]
        size = (wanted[-2], wanted[-1]) if len(wanted) == 4 else None
        whole = all(f == int(f) for f in full) and policy == "stretch"
        size = None if whole else size
    else:
        raise RefusalError("without scales or sizes")
    if len(x.shape) != 4 or full[:2] != [1.0, 1.0]:
        raise RefusalError(f"of shape {x.shape} by {full}: expected images, and their two axes")
    factors = (float(np.float32(full[2])), float(np.float32(full[3])))
    # Coordinates follow from the sizes, unless these were made from a common ratio.
    if size is not None and policy == "stretch":
        factors = (0.0, 0.0)
    rounding: Any = node.attribute("nearest_mode", "round_prefer_floor").removeprefix("round_")

    def apply(image: Value) -> Value:
        kept = rounding if mode == "nearest" else "floor"
        return node.build.add(
            ir.Resize(mode, factors, size, coordinates, kept),  # type: ignore[arg-type]
            image,
        )

    return lowering.spatial(node.build, x, 2, apply)


HANDLERS = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "BatchNormalization": batch_norm,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_pool,
    "GlobalMaxPool": global_pool,
    "Resize": resize,
}

__all__ = ["HANDLERS"]
