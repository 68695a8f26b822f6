"""What ATen operators on images become; one short function per operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lilnetx.graph import ir, lowering
from lilnetx.graph.builder import Operand, RefusalError, Value
from lilnetx.graph.folding import affine_of_batch_norm

if TYPE_CHECKING:
    from torch.fx import Node as FxNode

    from lilnetx.graph.torch_importer import Importer

Handler = Callable[["Importer", "FxNode"], "Operand | Sequence[Operand] | None"]


def _list(value: Any, rank: int) -> list[int]:
    """An int, ``[a]`` or ``[a, b]`` for each axis of an image."""
    values = [value] if isinstance(value, int) else [int(n) for n in value]
    return values * rank if len(values) == 1 else values


def _conv(importer: Importer, node: FxNode) -> Value:
    a = importer.arguments(node)
    x, weight = importer.value(a["input"]), importer.constant(a["weight"], "a weight")
    assert weight is not None
    rank = weight.ndim - 2
    stride, dilation = _list(a["stride"], rank), _list(a["dilation"], rank)
    begin: list[int]
    if a["padding"] == "same":
        spans = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        begin, end = [n // 2 for n in spans], [n - n // 2 for n in spans]
    else:
        begin = end = [0] * rank if a["padding"] == "valid" else _list(a["padding"], rank)
    bias, groups = importer.constant(a["bias"], "a bias"), int(a["groups"])
    return lowering.conv(importer.build, x, weight, bias, stride, begin, end, dilation, groups)


def _conv_transpose(importer: Importer, node: FxNode) -> Value:
    a = importer.arguments(node)
    x, weight = importer.value(a["input"]), importer.constant(a["weight"], "a weight")
    assert weight is not None
    rank = weight.ndim - 2
    padding = _list(a["padding"], rank)
    return lowering.conv_transpose(
        importer.build,
        x,
        weight,
        importer.constant(a["bias"], "a bias"),
        _list(a["stride"], rank),
        padding,
        padding,
        _list(a["output_padding"], rank),
        _list(a["dilation"], rank),
        int(a["groups"]),
    )


def _batch_norm(importer: Importer, node: FxNode) -> Value:
    a = importer.arguments(node)
    mean = importer.constant(a["running_mean"], "a mean")
    variance = importer.constant(a["running_var"], "a variance")
    if a.get("training") or mean is None or variance is None:
        raise RefusalError("without running statistics, by those of the batch")
    weight, bias = (
        importer.constant(a["weight"], "a weight"),
        importer.constant(a["bias"], "a bias"),
    )
    both = affine_of_batch_norm(weight, bias, mean, variance, float(a["eps"]))
    return lowering.batch_norm(importer.build, importer.value(a["input"]), *both)


def _batch_norm_of_three(importer: Importer, node: FxNode) -> list[Operand]:
    """The form that yields the statistics too."""
    return [_batch_norm(importer, node)]


def _pool(importer: Importer, node: FxNode, *, average: bool) -> Value:
    a = importer.arguments(node)
    if a.get("divisor_override") is not None:
        raise RefusalError("with divisor_override")
    x = importer.value(a["self"])
    rank = len(x.shape) - 2
    kernel = _list(a["kernel_size"], rank)
    padding = _list(a["padding"], rank)
    return lowering.pool(
        importer.build,
        x,
        average=average,
        kernel=kernel,
        stride=_list(a["stride"] or kernel, rank),
        begin=padding,
        end=padding,
        dilation=_list(a.get("dilation", 1), rank),
        ceil_mode=bool(a["ceil_mode"]),
        count_include_pad=bool(a.get("count_include_pad", False)),
    )


def _max_pool(importer: Importer, node: FxNode) -> Value:
    return _pool(importer, node, average=False)


def _max_pool_of_two(importer: Importer, node: FxNode) -> list[Operand]:
    """The form that yields indices too."""
    return [_pool(importer, node, average=False)]


def _avg_pool(importer: Importer, node: FxNode) -> Value:
    return _pool(importer, node, average=True)


def _adaptive_avg_pool(importer: Importer, node: FxNode) -> Value:
    x = importer.value(importer.arguments(node)["self"])
    size = importer.shape(node)[2:]
    return lowering.adaptive_pool(importer.build, x, size, average=True)


def _adaptive_max_pool(importer: Importer, node: FxNode) -> list[Operand]:
    x = importer.value(importer.arguments(node)["self"])
    size = [int(n) for n in node.meta["val"][0].shape[2:]]
    return [lowering.adaptive_pool(importer.build, x, size, average=False)]


def _upsample(importer: Importer, node: FxNode) -> Value:
    a = importer.arguments(node)
    kind, x = importer.operator(node), importer.value(a["input" if "input" in a else "self"])
    out = importer.shape(node)[2:]
    align = bool(a.get("align_corners", False))
    coordinates = "asymmetric"
    if align:
        coordinates = "align_corners"
    elif kind != "upsample_nearest2d":
        coordinates = "half_pixel"
    factors = a.get("scale_factors") or [a.get("scales_h"), a.get("scales_w")]
    if align or any(f is None for f in factors):
        factors = [
            o / n if o % n == 0 and not align else 0.0
            for o, n in zip(out, x.shape[2:], strict=True)
        ]
    scale = (float(np.float32(factors[0])), float(np.float32(factors[1])))
    by_scale = all(int(n * s) == o for n, s, o in zip(x.shape[2:], scale, out, strict=True))
    op = ir.Resize(
        "linear" if kind == "upsample_bilinear2d" else "nearest",
        scale,
        None if by_scale else (out[0], out[1]),
        coordinates,  # type: ignore[arg-type]
        "prefer_ceil" if kind == "_upsample_nearest_exact2d" else "floor",
    )
    return lowering.spatial(importer.build, x, 2, lambda image: importer.build.add(op, image))


_PAD_MODES = {
    "constant": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
    "reflection_pad1d": "reflect",
    "reflection_pad2d": "reflect",
    "replication_pad1d": "edge",
    "replication_pad2d": "edge",
}


def _pad(importer: Importer, node: FxNode) -> Value:
    """Padding of any mode; torch counts it from the last axis."""
    a = importer.arguments(node)
    mode = _PAD_MODES.get(str(a.get("mode", importer.operator(node))), "constant")
    x = importer.value(a["self"])
    amounts = [int(n) for n in a["pad" if "pad" in a else "padding"]]
    before, after = [0] * len(x.shape), [0] * len(x.shape)
    for i in range(len(amounts) // 2):
        before[-1 - i], after[-1 - i] = amounts[2 * i], amounts[2 * i + 1]
    return importer.build.pad(x, before, after, mode, float(a.get("value") or 0.0))


def _pixel_shuffle(importer: Importer, node: FxNode) -> Value:
    x, build, name = importer.value(node.args[0]), importer.build, importer.build.name
    r = int(importer.arguments(node)["upscale_factor"])
    n, channels, height, width = x.shape
    build.name = f"{name}.split"
    y = build.reshape(x, (n, channels // r**2, r, r, height, width))
    build.name = f"{name}.order"
    y = build.transpose(y, (0, 1, 4, 2, 5, 3))
    build.name = name
    return build.reshape(y, (n, channels // r**2, height * r, width * r))


def _channel_shuffle(importer: Importer, node: FxNode) -> Value:
    x, build, name = importer.value(node.args[0]), importer.build, importer.build.name
    groups = int(importer.arguments(node)["groups"])
    n, channels, *size = x.shape
    build.name = f"{name}.split"
    y = build.reshape(x, (n, groups, channels // groups, *size))
    build.name = f"{name}.order"
    y = build.transpose(y, (0, 2, 1, *range(3, len(y.shape))))
    build.name = name
    return build.reshape(y, x.shape)


HANDLERS: dict[str, Handler] = {
    "conv1d": _conv,
    "conv2d": _conv,
    "conv_transpose1d": _conv_transpose,
    "conv_transpose2d": _conv_transpose,
    "batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm_of_three,
    "max_pool1d": _max_pool,
    "max_pool2d": _max_pool,
    "max_pool2d_with_indices": _max_pool_of_two,
    "avg_pool1d": _avg_pool,
    "avg_pool2d": _avg_pool,
    "adaptive_avg_pool1d": _adaptive_avg_pool,
    "adaptive_avg_pool2d": _adaptive_avg_pool,
    "adaptive_max_pool1d": _adaptive_max_pool,
    "adaptive_max_pool2d": _adaptive_max_pool,
    **dict.fromkeys(
        ("upsample_nearest2d", "upsample_bilinear2d", "_upsample_nearest_exact2d"), _upsample
    ),
    **dict.fromkeys(
        (
            "pad",
            "constant_pad_nd",
            "reflection_pad1d",
            "reflection_pad2d",
            "replication_pad1d",
            "replication_pad2d",
        ),
        _pad,
    ),
    "pixel_shuffle": _pixel_shuffle,
    "channel_shuffle": _channel_shuffle,
}

__all__ = ["HANDLERS"]
