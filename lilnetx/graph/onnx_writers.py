"""What each operator becomes in an ONNX model; one short function per operator."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lilnetx.graph import ir
from lilnetx.graph.ir import Node, Op
from lilnetx.graph.to_onnx import ModelBuilder

Writer = Callable[[ModelBuilder, Node, Any], object]


def _simple(kind: str, **attributes: Any) -> Writer:
    """An operator that ONNX has too."""
    return lambda build, node, op: build.emit(kind, list(node.inputs), node.name, **attributes)


def _binary(kind: str) -> Writer:
    return lambda build, node, op: build.emit(kind, build.aligned(node), node.name)


def _gated(gate: str) -> Writer:
    """X times a function of x: the later operators of that kind, whom runtimes fuse again."""

    def write(build: ModelBuilder, node: Node, op: Op) -> None:
        inputs, name = list(node.inputs), f"{node.name}/gate"
        if gate == "HardSigmoid":
            value = build.hard_sigmoid(inputs, name)
        else:
            value = build.emit(gate, inputs, name)
        build.emit("Mul", [*inputs, value], node.name)

    return write


def _clip(least: float, most: float) -> Writer:
    def write(build: ModelBuilder, node: Node, op: Op) -> None:
        build.emit("Clip", [*node.inputs, *build.floats(node.name, least, most)], node.name)

    return write


def _gelu(build: ModelBuilder, node: Node, op: ir.Gelu) -> None:
    """``x / 2 * (1 + erf(x / sqrt(2)))``: the operator of that name needs opset 20."""
    name, (x,) = node.name, node.inputs
    root, one, half = build.floats(name, math.sqrt(0.5), 1.0, 0.5)
    erf = build.emit("Erf", [build.emit("Mul", [x, root], f"{name}/a")], f"{name}/erf")
    both = build.emit("Add", [erf, one], f"{name}/b")
    build.emit("Mul", [build.emit("Mul", [x, half], f"{name}/c"), both], name)


def _gelu_tanh(build: ModelBuilder, node: Node, op: ir.GeluTanh) -> None:
    """``x * sigmoid(sqrt(8 / pi) * (x + 0.044715 x**3))``."""
    name, (x,) = node.name, node.inputs
    cubic, factor = build.floats(name, 0.044715, math.sqrt(8 / math.pi))
    square = build.emit("Mul", [x, x], f"{name}/square")
    cube = build.emit("Mul", [build.emit("Mul", [square, x], f"{name}/cube"), cubic], f"{name}/a")
    sum_ = build.emit("Add", [x, cube], f"{name}/b")
    gate = build.emit("Sigmoid", [build.emit("Mul", [sum_, factor], f"{name}/c")], f"{name}/gate")
    build.emit("Mul", [x, gate], name)


def _constant(build: ModelBuilder, node: Node, op: ir.Constant) -> None:
    """An initializer with a batch of one, spread to the batch of the network's input."""
    assert isinstance(node.weight, ir.DenseWeight)
    name = node.name
    values = build.constant(f"{name}/values", node.weight.values[None])
    shape = build.emit("Shape", [build.graph.input_name], f"{name}/sizes")
    first = build.integers(f"{name}/first", [0])
    batch = build.emit("Gather", [shape, first], f"{name}/batch")
    rest = build.integers(f"{name}/rest", op.shape)
    target = build.emit("Concat", [batch, rest], f"{name}/target", axis=0)
    build.emit("Expand", [values, target], name)


def _affine(build: ModelBuilder, node: Node, op: ir.ChannelAffine) -> None:
    assert node.scale is not None
    assert node.bias is not None
    shape = (-1, *[1] * (len(build.shapes[node.name]) - 1))
    scale = build.constant(f"{node.name}.weight", node.scale.reshape(shape))
    bias = build.constant(f"{node.name}.bias", node.bias.reshape(shape))
    product = build.emit("Mul", [*node.inputs, scale], f"{node.name}/product")
    build.emit("Add", [product, bias], node.name)


def _adaptive(build: ModelBuilder, node: Node, op: ir.AdaptivePool2d) -> None:
    """Windows one by one: ONNX has only those of equal sizes."""
    (source,) = node.inputs
    kind = "Mean" if isinstance(op, ir.AdaptiveAvgPool2d) else "Max"
    _, height, width = build.shapes[source]
    rows = []
    for i in range(op.size[0]):
        top, bottom = i * height // op.size[0], -(-(i + 1) * height // op.size[0])
        row = []
        for j in range(op.size[1]):
            left, right = j * width // op.size[1], -(-(j + 1) * width // op.size[1])
            name = f"{node.name}/{i}.{j}"
            window = _sliced(build, source, name, (2, 3), (top, left), (bottom, right), (1, 1))
            row.append(_reduced(build, window, f"{name}/pixel", kind, (2, 3), True))
        rows.append(build.emit("Concat", row, f"{node.name}/{i}", axis=3))
    build.emit("Concat", rows, node.name, axis=2)


def _sliced(
    build: ModelBuilder,
    source: str,
    name: str,
    axes: tuple[int, ...],
    starts: tuple[int, ...],
    stops: tuple[int, ...],
    steps: tuple[int, ...],
) -> str:
    numbers = {"starts": starts, "stops": stops, "axes": axes, "steps": steps}
    inputs = [build.integers(f"{name}/{what}", values) for what, values in numbers.items()]
    return build.emit("Slice", [source, *inputs], name)


def _reduced(
    build: ModelBuilder, source: str, name: str, kind: str, axes: tuple[int, ...], keep: bool
) -> str:
    """A reduction; up to opset 17 only sums take their axes as an input."""
    if kind == "Sum" or build.opset >= 18:
        inputs = [source, build.integers(f"{name}/axes", axes)]
        return build.emit(f"Reduce{kind}", inputs, name, keepdims=int(keep))
    return build.emit(f"Reduce{kind}", [source], name, axes=axes, keepdims=int(keep))


def _reduce(build: ModelBuilder, node: Node, op: ir.Reduce) -> None:
    axes = tuple(axis + 1 for axis in op.axes)
    _reduced(build, node.inputs[0], node.name, op.kind.capitalize(), axes, op.keep)


def _slice(build: ModelBuilder, node: Node, op: ir.Slice) -> None:
    last = np.iinfo(np.int64)
    stop = (last.max if op.step > 0 else last.min) if op.stop is None else op.stop
    _sliced(build, node.inputs[0], node.name, (op.axis + 1,), (op.start,), (stop,), (op.step,))


def _pad(build: ModelBuilder, node: Node, op: ir.Pad) -> None:
    (source,) = node.inputs
    if op.mode == "wrap":
        # Pad knows it from opset 19 on: index by index.
        for axis, size in enumerate(build.shapes[source]):
            index = build.integers(f"{node.name}/index{axis}", op.source(axis, size))
            last = axis == len(op.before) - 1
            name = node.name if last else f"{node.name}/{axis}"
            source = build.emit("Gather", [source, index], name, axis=axis + 1)
        return
    pads = build.integers(f"{node.name}/pads", [0, *op.before, 0, *op.after])
    value = build.floats(node.name, op.value) if op.mode == "constant" else []
    build.emit("Pad", [source, pads, *value], node.name, mode=op.mode)


def _resize(build: ModelBuilder, node: Node, op: ir.Resize) -> None:
    (source,) = node.inputs
    if op.size is None:
        scales = np.array([1, 1, *op.scale], np.float32)
        inputs = [source, "", build.constant(f"{node.name}/scales", scales)]
    else:
        channels = build.shapes[source][0]
        inputs = [source, "", "", _sizes(build, node, (channels, *op.size))]
    attributes: dict[str, Any] = {"coordinate_transformation_mode": op.coordinates}
    if op.mode == "nearest":
        attributes["nearest_mode"] = (
            op.rounding if op.rounding in ("floor", "ceil") else f"round_{op.rounding}"
        )
    build.emit("Resize", inputs, node.name, mode=op.mode, **attributes)


def _sizes(build: ModelBuilder, node: Node, sizes: tuple[int, ...]) -> str:
    """The batch at run time, and sizes known now."""
    name = node.name
    shape = build.emit("Shape", [node.inputs[0]], f"{name}/shape")
    first = build.integers(f"{name}/first", [0])
    batch = build.emit("Gather", [shape, first], f"{name}/batch")
    rest = build.integers(f"{name}/rest", sizes)
    return build.emit("Concat", [batch, rest], f"{name}/sizes", axis=0)


def _reshape(build: ModelBuilder, node: Node, op: ir.Reshape) -> None:
    # 0: as in the input, here the batch.
    target = build.integers(f"{node.name}/shape", [0, *build.shapes[node.name]])
    build.emit("Reshape", [*node.inputs, target], node.name)


ONNX_WRITERS: dict[type[Op], Writer] = {
    **dict.fromkeys(
        (ir.Conv2d, ir.ConvTranspose2d, ir.Linear),
        lambda build, node, op: build.weighted(node, op),
    ),
    **dict.fromkeys((ir.MaxPool2d, ir.AvgPool2d), lambda build, node, op: build.pool(node, op)),
    ir.AdaptiveAvgPool2d: _adaptive,
    ir.AdaptiveMaxPool2d: _adaptive,
    ir.GlobalAvgPool: _simple("GlobalAveragePool"),
    ir.ChannelAffine: _affine,
    ir.Constant: _constant,
    ir.Relu: _simple("Relu"),
    ir.Relu6: _clip(0.0, 6.0),
    ir.Clip: lambda build, node, op: _clip(op.least, op.most)(build, node, op),
    ir.LeakyRelu: lambda build, node, op: build.emit(
        "LeakyRelu", list(node.inputs), node.name, alpha=op.slope
    ),
    ir.HardSigmoid: lambda build, node, op: build.hard_sigmoid(list(node.inputs), node.name),
    ir.Sigmoid: _simple("Sigmoid"),
    ir.HardSwish: _gated("HardSigmoid"),
    ir.Silu: _gated("Sigmoid"),
    ir.Gelu: _gelu,
    ir.GeluTanh: _gelu_tanh,
    ir.Add: _binary("Add"),
    ir.Sub: _binary("Sub"),
    ir.Mul: _binary("Mul"),
    ir.Div: _binary("Div"),
    ir.MatMul: _binary("MatMul"),
    ir.Softmax: lambda build, node, op: build.emit(
        "Softmax", list(node.inputs), node.name, axis=op.axis + 1
    ),
    ir.Reduce: _reduce,
    ir.Flatten: _simple("Flatten", axis=1),
    ir.Reshape: _reshape,
    ir.Transpose: lambda build, node, op: build.emit(
        "Transpose", list(node.inputs), node.name, perm=[0, *(axis + 1 for axis in op.axes)]
    ),
    ir.Concat: lambda build, node, op: build.emit(
        "Concat", list(node.inputs), node.name, axis=op.axis + 1
    ),
    ir.Slice: _slice,
    ir.Pad: _pad,
    ir.Resize: _resize,
}

__all__ = ["ONNX_WRITERS"]
