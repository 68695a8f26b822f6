"""What each ATen operator becomes in the graph; one short function per operator."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lilnetx.errors import UnsupportedOperatorError
from lilnetx.graph.ir import (
    Activation,
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    GlobalAvgPool,
    HardSigmoid,
    HardSwish,
    Linear,
    MaxPool2d,
    Pair,
    Relu,
    Relu6,
    Sigmoid,
    Silu,
    Softmax,
)

if TYPE_CHECKING:
    from torch.fx import Node as FxNode

    from lilnetx.graph.from_torch import Draft, Importer

Handler = Callable[["Importer", "FxNode"], None]


def _pair(value: Any) -> Pair:
    """An int, ``[a]`` or ``[a, b]`` as a pair."""
    values = [value] if isinstance(value, int) else list(value)
    return (int(values[0]), int(values[-1]))


def _conv2d(importer: Importer, node: FxNode) -> None:
    a = importer.arguments(node)
    source = importer.value(node, a["input"])
    weight = importer.constant(node, a["weight"])
    if weight is None or weight.ndim != 4 or len(importer.shape(a["input"])) != 3:
        raise importer.unsupported(node, "on other than (N, C, H, W)")
    filters, channels, *taps = weight.shape
    kernel, stride, dilation = _pair(taps), _pair(a["stride"]), _pair(a["dilation"])
    padding = a["padding"]
    if padding == "same":
        span = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        if any(s % 2 for s in span):
            raise importer.unsupported(node, "padding 'same' that differs between two sides")
        padding = [s // 2 for s in span]
    elif padding == "valid":
        padding = 0
    groups = int(a["groups"])
    op = Conv2d(channels * groups, filters, kernel, stride, _pair(padding), dilation, groups)
    draft = importer.add(node, op, source)
    draft.weight = weight.astype(np.float32)
    draft.bias = importer.constant(node, a["bias"])


def _linear(importer: Importer, node: FxNode) -> None:
    a = importer.arguments(node)
    source = importer.value(node, a["input"])
    weight = importer.constant(node, a["weight"])
    if weight is None or len(importer.shape(a["input"])) != 1:
        raise importer.unsupported(node, "on other than (N, features): flatten first")
    draft = importer.add(node, Linear(weight.shape[1], weight.shape[0]), source)
    draft.weight = weight.astype(np.float32)
    draft.bias = importer.constant(node, a["bias"])


def _batch_norm(importer: Importer, node: FxNode) -> None:
    a = importer.arguments(node)
    if a.get("training"):
        raise importer.unsupported(node, "without running statistics")
    draft = _foldable(importer, node, a["input"])
    mean = importer.constant(node, a["running_mean"])
    variance = importer.constant(node, a["running_var"])
    if mean is None or variance is None:
        raise importer.unsupported(node, "without running statistics")
    gamma, beta = importer.constant(node, a["weight"]), importer.constant(node, a["bias"])
    scale = (1.0 if gamma is None else gamma) / np.sqrt(variance + float(a["eps"]))
    bias = 0.0 if draft.bias is None else draft.bias
    draft.bias = (0.0 if beta is None else beta) + (bias - mean) * scale
    draft.scale = scale if draft.scale is None else draft.scale * scale
    importer.values[node] = draft.name


def _foldable(importer: Importer, node: FxNode, argument: FxNode) -> Draft:
    """The convolution or linear layer whose only reader is this batch norm."""
    draft = importer.drafts.get(importer.values.get(argument, ""))
    layer, _ = importer.path(node)
    if draft is None or draft.weight is None:
        raise UnsupportedOperatorError(
            f"layer {layer!r}: batch norm can only be folded into a convolution or linear layer "
            "right before it; move it there, or replace it by a depthwise 1×1 convolution"
        )
    step = argument
    while len(step.users) == 1 and step is not draft.source:
        step = step.all_input_nodes[0]
    if len(step.users) != 1:
        raise UnsupportedOperatorError(
            f"layer {layer!r}: batch norm cannot be folded into {draft.name!r}, whose output is "
            "also read elsewhere; give the batch norm a convolution of its own, or replace it by a "
            "depthwise 1×1 convolution"
        )
    return draft


def _activation(op: Activation) -> Handler:
    def handler(importer: Importer, node: FxNode) -> None:
        importer.add(node, op, importer.value(node, node.args[0]))

    return handler


def _clip(importer: Importer, node: FxNode) -> None:
    """``clamp`` and ``hardtanh``, as far as they are ReLU or ReLU6."""
    a = importer.arguments(node)
    least, most = (a["min_val"], a["max_val"]) if "min_val" in a else (a["min"], a["max"])
    if least != 0 or most not in (None, 6):
        raise importer.unsupported(node, f"between {least} and {most}")
    op, what = (Relu(), "relu") if most is None else (Relu6(), "relu6")
    importer.add(node, op, importer.value(node, a["self"]), what=what)


def _add(importer: Importer, node: FxNode) -> None:
    a = importer.arguments(node)
    if not all(a[side] in importer.values for side in ("self", "other")):
        raise importer.unsupported(node, "of a constant")
    if a.get("alpha", 1) != 1 or importer.shape(a["self"]) != importer.shape(a["other"]):
        raise importer.unsupported(node, "with a factor or of two shapes")
    importer.add(node, Add(), importer.values[a["self"]], importer.values[a["other"]])


def _max_pool2d(importer: Importer, node: FxNode) -> None:
    a = importer.arguments(node)
    if _pair(a["dilation"]) != (1, 1):
        raise importer.unsupported(node, "with dilation")
    kernel = _pair(a["kernel_size"])
    stride = _pair(a["stride"] or kernel)
    op = MaxPool2d(kernel, stride, _pair(a["padding"]), bool(a["ceil_mode"]))
    importer.add(node, op, importer.value(node, a["self"]), what="max_pool2d")


def _avg_pool2d(importer: Importer, node: FxNode) -> None:
    a = importer.arguments(node)
    if a["divisor_override"] is not None:
        raise importer.unsupported(node, "with divisor_override")
    kernel = _pair(a["kernel_size"])
    op = AvgPool2d(
        kernel,
        _pair(a["stride"] or kernel),
        _pair(a["padding"]),
        bool(a["ceil_mode"]),
        bool(a["count_include_pad"]),
    )
    importer.add(node, op, importer.value(node, a["self"]))


def _adaptive_avg_pool2d(importer: Importer, node: FxNode) -> None:
    a = importer.arguments(node)
    source = importer.value(node, a["self"])
    pixels, out = importer.shape(a["self"])[1:], importer.shape(node)[1:]
    if out == (1, 1):
        importer.add(node, GlobalAvgPool(), source)
    elif out == pixels:
        importer.alias(node, a["self"])
    elif all(size % parts == 0 for size, parts in zip(pixels, out, strict=True)):
        kernel = _pair([size // parts for size, parts in zip(pixels, out, strict=True)])
        importer.add(node, AvgPool2d(kernel, kernel), source)
    else:
        raise importer.unsupported(node, f"from {pixels} to {out} pixels, windows of several sizes")


def _mean(importer: Importer, node: FxNode) -> None:
    a = importer.arguments(node)
    source = importer.value(node, a["self"])
    axes = sorted(int(d) % (len(importer.shape(a["self"])) + 1) for d in a.get("dim") or [])
    if len(importer.shape(a["self"])) != 3 or axes != [2, 3]:
        raise importer.unsupported(node, "over other than all pixels")
    draft = importer.add(node, GlobalAvgPool(), source)
    if not a["keepdim"]:
        importer.add(node, Flatten(), draft.name, what="flatten")


def _reshape(importer: Importer, node: FxNode) -> None:
    """Any change of shape that keeps the batch and either changes nothing or flattens."""
    argument = importer.arguments(node)["self"]
    source = importer.value(node, argument)
    batches = {int(n.meta["val"].shape[0]) for n in (argument, node) if n.meta["val"].ndim}
    before, after = importer.shape(argument), importer.shape(node)
    if before == after:
        importer.alias(node, argument)
    elif len(batches) == 1 and after == (math.prod(before),):
        importer.add(node, Flatten(), source, what="flatten")
    else:
        raise importer.unsupported(node, f"from (N, *{before}) to (N, *{after})")


def _softmax(importer: Importer, node: FxNode) -> None:
    a = importer.arguments(node)
    if len(importer.shape(node)) != 1 or int(a["dim"]) not in (-1, 1):
        raise importer.unsupported(node, "on other than the channels of (N, C)")
    importer.add(node, Softmax(), importer.value(node, a["self"]), what="softmax")


def _identity(importer: Importer, node: FxNode) -> None:
    argument = node.all_input_nodes[0]
    if importer.arguments(node).get("train"):
        raise importer.unsupported(node, "in training mode")
    if argument.meta["val"].dtype != node.meta["val"].dtype:
        raise importer.unsupported(node, "to another dtype")
    importer.alias(node, argument)


def _getitem(importer: Importer, node: FxNode) -> None:
    """The first result of an operator that returns several; the others have no meaning here."""
    if node.args[1] != 0:
        raise importer.unsupported(node, "of a secondary result")
    importer.alias(node, node.args[0])


def _ignore(importer: Importer, node: FxNode) -> None:
    """A check that yields no value."""


HANDLERS: dict[str, Handler] = {
    "conv2d": _conv2d,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "relu": _activation(Relu()),
    "relu6": _activation(Relu6()),
    "hardtanh": _clip,
    "clamp": _clip,
    "hardswish": _activation(HardSwish()),
    "silu": _activation(Silu()),
    "hardsigmoid": _activation(HardSigmoid()),
    "sigmoid": _activation(Sigmoid()),
    "add": _add,
    "max_pool2d": _max_pool2d,
    "max_pool2d_with_indices": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "mean": _mean,
    "view": _reshape,
    "_unsafe_view": _reshape,
    "reshape": _reshape,
    "flatten": _reshape,
    "squeeze": _reshape,
    "softmax": _softmax,
    "getitem": _getitem,
    "_assert_tensor_metadata": _ignore,
    **dict.fromkeys(
        ("alias", "clone", "contiguous", "detach", "dropout", "feature_dropout", "to", "_to_copy"),
        _identity,
    ),
}

__all__ = ["HANDLERS"]
