"""What ATen operators on values of any rank become; one short function per operator."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lilnetx.graph import ir, lowering
from lilnetx.graph.builder import Operand, RefusalError, Value
from lilnetx.graph.ir import Activation
from lilnetx.graph.torch_images import HANDLERS as IMAGES

if TYPE_CHECKING:
    from torch.fx import Node as FxNode

    from lilnetx.graph.torch_importer import Importer

Result = Operand | Sequence[Operand] | None
Handler = Callable[["Importer", "FxNode"], Result]


def _linear(importer: Importer, node: FxNode) -> Value:
    a = importer.arguments(node)
    weight = importer.constant(a["weight"], "a weight")
    assert weight is not None
    bias = importer.constant(a["bias"], "a bias")
    return lowering.linear(importer.build, importer.value(a["input"]), weight, bias)


def _addmm(importer: Importer, node: FxNode) -> Operand:
    a = importer.arguments(node)
    if a["alpha"] != 1 or a["beta"] != 1:
        raise RefusalError("with factors")
    product = lowering.matmul(
        importer.build, importer.operand(a["mat1"]), importer.operand(a["mat2"])
    )
    return lowering.binary(importer.build, "add", product, importer.operand(a["self"]))


def _matmul(importer: Importer, node: FxNode) -> Operand:
    one, other = (importer.operand(argument) for argument in node.args[:2])
    return lowering.matmul(importer.build, one, other)


def _activation(op: Activation) -> Handler:
    return lambda importer, node: importer.build.add(op, importer.value(node.args[0]))


def _leaky_relu(importer: Importer, node: FxNode) -> Value:
    a = importer.arguments(node)
    slope = float(np.float32(a["negative_slope"]))
    return importer.build.add(ir.LeakyRelu(slope), importer.value(a["self"]))


def _gelu(importer: Importer, node: FxNode) -> Value:
    a = importer.arguments(node)
    op = ir.Gelu() if a["approximate"] == "none" else ir.GeluTanh()
    return importer.build.add(op, importer.value(a["self"]))


def _clip(importer: Importer, node: FxNode) -> Value:
    a = importer.arguments(node)
    least, most = (a["min_val"], a["max_val"]) if "min_val" in a else (a["min"], a["max"])
    x = importer.value(a["self"])
    if (least, most) in ((0, None), (0, 6)):
        path, layer = importer.path(node)
        what = "relu" if most is None else "relu6"
        if not layer:
            importer.build.name = f"{path}.{what}" if path else what
    least, most = (-math.inf if least is None else least), (math.inf if most is None else most)
    return lowering.clip(importer.build, x, float(least), float(most))


def _binary(kind: str) -> Handler:
    def handler(importer: Importer, node: FxNode) -> Operand:
        a = importer.arguments(node)
        if a.get("rounding_mode"):
            raise RefusalError("with rounding")
        one, other = importer.operand(a["self"]), importer.operand(a["other"])
        if a.get("alpha", 1) != 1:
            name = importer.build.name
            importer.build.name = f"{name}.alpha"
            factor = np.asarray(a["alpha"], np.float32)
            other = lowering.binary(importer.build, "mul", other, factor)
            importer.build.name = name
        if importer.operator(node) == "rsub":
            one, other = other, one
        return lowering.binary(importer.build, kind, one, other)

    return handler


def _negative(importer: Importer, node: FxNode) -> Operand:
    x = importer.value(node.args[0])
    return lowering.binary(importer.build, "mul", x, np.array(-1.0, np.float32))


def _reciprocal(importer: Importer, node: FxNode) -> Operand:
    x = importer.value(node.args[0])
    return lowering.binary(importer.build, "div", np.array(1.0, np.float32), x)


def _reduce(kind: str) -> Handler:
    def handler(importer: Importer, node: FxNode) -> Value:
        a = importer.arguments(node)
        x = importer.value(a["self"])
        axes = a.get("dim")
        axes = [axes] if isinstance(axes, int) else list(axes or range(len(x.shape)))
        return importer.build.reduce(kind, x, axes, bool(a.get("keepdim", False)))

    return handler


def _softmax(importer: Importer, node: FxNode) -> Value:
    a = importer.arguments(node)
    return importer.build.softmax(importer.value(a["self"]), int(a["dim"]))


def _reshape(importer: Importer, node: FxNode) -> Value:
    """Any change of shape: torch has computed which."""
    target = importer.shape(node)
    x = importer.value(importer.arguments(node)["self"])
    if len(target) == 2 and target != x.shape:
        path, _ = importer.path(node)
        importer.build.name = f"{path}.flatten" if path else "flatten"
    return importer.build.reshape(x, target)


def _permute(importer: Importer, node: FxNode) -> Value:
    a = importer.arguments(node)
    return importer.build.transpose(importer.value(a["self"]), [int(d) for d in a["dims"]])


def _transpose(importer: Importer, node: FxNode) -> Value:
    a = importer.arguments(node)
    x = importer.value(a["self"])
    axes = list(range(len(x.shape)))
    one, other = (int(a.get(f"dim{i}", i)) % len(axes) for i in (0, 1))
    axes[one], axes[other] = axes[other], axes[one]
    return importer.build.transpose(x, axes)


def _concat(importer: Importer, node: FxNode) -> Value:
    a = importer.arguments(node)
    operands = [importer.operand(tensor) for tensor in a["tensors"]]
    return importer.build.concat(operands, int(a["dim"]))


def _stack(importer: Importer, node: FxNode) -> Value:
    a = importer.arguments(node)
    build, name = importer.build, importer.build.name
    axis = int(a["dim"]) % len(importer.shape(node))
    parts: list[Operand] = []
    for i, tensor in enumerate(a["tensors"]):
        x = importer.value(tensor)
        build.name = f"{name}.{i}"
        parts.append(build.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:])))
    build.name = name
    return build.concat(parts, axis)


def _slice(importer: Importer, node: FxNode) -> Value:
    a = importer.arguments(node)
    x = importer.value(a["self"])
    axis = int(a["dim"]) % len(x.shape)
    start, stop = a["start"] or 0, a["end"]
    if stop is None or stop >= x.shape[axis]:
        stop = None
    return importer.build.slice(x, axis, int(start), stop, int(a["step"]))


def _select(importer: Importer, node: FxNode) -> Value:
    a = importer.arguments(node)
    x, name = importer.value(a["self"]), importer.build.name
    axis = int(a["dim"]) % len(x.shape)
    index = int(a["index"]) % x.shape[axis]
    importer.build.name = f"{name}.slice"
    part = importer.build.slice(x, axis, index, index + 1, 1)
    importer.build.name = name
    return importer.build.reshape(part, importer.shape(node))


def _narrow(importer: Importer, node: FxNode) -> Value:
    a = importer.arguments(node)
    x, start = importer.value(a["self"]), int(a["start"])
    return importer.build.slice(x, int(a["dim"]), start, start + int(a["length"]), 1)


def _split(importer: Importer, node: FxNode) -> list[Operand]:
    """``split``, ``split_with_sizes``, ``chunk`` and ``unbind``: torch has computed the sizes."""
    a = importer.arguments(node)
    x, name = importer.value(a["self"]), importer.build.name
    axis, at = int(a["dim"]) % len(x.shape), 0
    unbind = importer.operator(node) == "unbind"
    parts: list[Operand] = []
    for i, tensor in enumerate(node.meta["val"]):
        shape = tuple(int(n) for n in tensor.shape)
        size = 1 if unbind else shape[axis]
        importer.build.name = f"{name}.{i}"
        part = importer.build.slice(x, axis, at, at + size, 1)
        parts.append(importer.build.reshape(part, shape) if unbind else part)
        at += size
    return parts


def _expand(importer: Importer, node: FxNode) -> Value:
    x = importer.value(node.args[0])
    if importer.shape(node) != x.shape:
        raise RefusalError("to another shape: operators broadcast without it")
    return x


def _identity(importer: Importer, node: FxNode) -> Value:
    argument = node.all_input_nodes[0]
    if importer.arguments(node).get("train"):
        raise RefusalError("in training mode")
    if argument.meta["val"].dtype != node.meta["val"].dtype:
        raise RefusalError("to another dtype")
    return importer.value(argument)


def _getitem(importer: Importer, node: FxNode) -> Operand:
    """One of the results of an operator that returns several."""
    results = importer.values.get(node.args[0])  # type: ignore[arg-type]
    index = node.args[1]
    if not isinstance(results, Sequence) or not isinstance(index, int):
        raise RefusalError("of a constant")
    if index >= len(results):
        raise RefusalError("of a secondary result")
    return results[index]


def _ignore(importer: Importer, node: FxNode) -> None:
    """A check that yields no value."""


HANDLERS: dict[str, Handler] = {
    **IMAGES,
    "linear": _linear,
    "addmm": _addmm,
    **dict.fromkeys(("matmul", "bmm", "mm"), _matmul),
    "relu": _activation(ir.Relu()),
    "relu6": _activation(ir.Relu6()),
    "hardswish": _activation(ir.HardSwish()),
    "silu": _activation(ir.Silu()),
    "hardsigmoid": _activation(ir.HardSigmoid()),
    "sigmoid": _activation(ir.Sigmoid()),
    "leaky_relu": _leaky_relu,
    "gelu": _gelu,
    "hardtanh": _clip,
    "clamp": _clip,
    "clamp_min": _clip,
    "add": _binary("add"),
    "sub": _binary("sub"),
    "rsub": _binary("sub"),
    "mul": _binary("mul"),
    "div": _binary("div"),
    "neg": _negative,
    "reciprocal": _reciprocal,
    "mean": _reduce("mean"),
    "sum": _reduce("sum"),
    "amax": _reduce("max"),
    "amin": _reduce("min"),
    "softmax": _softmax,
    "_softmax": _softmax,
    **dict.fromkeys(
        ("view", "_unsafe_view", "reshape", "flatten", "squeeze", "unsqueeze", "unflatten"),
        _reshape,
    ),
    "permute": _permute,
    "transpose": _transpose,
    "t": _transpose,
    "cat": _concat,
    "concat": _concat,
    "stack": _stack,
    "slice": _slice,
    "select": _select,
    "narrow": _narrow,
    **dict.fromkeys(("split", "split_with_sizes", "chunk", "unbind"), _split),
    "expand": _expand,
    "getitem": _getitem,
    "_assert_tensor_metadata": _ignore,
    **dict.fromkeys(
        ("alias", "clone", "contiguous", "detach", "dropout", "feature_dropout", "to", "_to_copy"),
        _identity,
    ),
}

__all__ = ["HANDLERS"]
