"""Operators that are neither convolutions nor fused with one: one row each, by operator type.

Convolutions, linear layers on vectors, plain pooling and activations by themselves are in
:mod:`.plan` and :mod:`.build`.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lilnetx import _core
from lilnetx.graph import ir
from lilnetx.graph.ir import Node, Op, Shape
from lilnetx.runtime import window_steps
from lilnetx.runtime.layout import Image
from lilnetx.runtime.views import View, merge_axes, view


@dataclass(frozen=True)
class Operands:
    """What a step works on.

    Attributes:
        node: The operation.
        inputs: Places of the values that it reads.
        output: Place of what it yields.
        shapes: Shapes of what it reads.
        shape: Shape of what it yields.
        weights: Packed weights by node; a step takes its own out.
        activation: Name of the function applied to the result, or ``"none"``.
    """

    node: Node
    inputs: tuple[Image, ...]
    output: Image
    shapes: tuple[Shape, ...]
    shape: Shape
    weights: MutableMapping[str, _core.PackedWeight]
    activation: str = "none"

    @property
    def views(self) -> list[View]:
        """Views of the inputs."""
        return [view(image, shape) for image, shape in zip(self.inputs, self.shapes, strict=True)]

    @property
    def out(self) -> View:
        """View of the output."""
        return view(self.output, self.shape)


@dataclass(frozen=True)
class ValueStep:
    """One row of :data:`VALUE_STEPS`.

    Attributes:
        stem: Name of the operation in the kernel's full name.
        reason: What the kernel does.
        add: Adds the step to an executor.
    """

    stem: Callable[[Any], str]
    reason: str
    add: Callable[[_core.Network, Any, Operands], None]


def _constant(network: _core.Network, op: ir.Constant, o: Operands) -> None:
    assert isinstance(o.node.weight, ir.DenseWeight)
    network.add_constant(o.output.as_tuple(), o.node.weight.values.reshape(-1))


def _binary(network: _core.Network, op: ir.Binary, o: Operands) -> None:
    out = o.out
    a, b, out = merge_axes([*(v.spread(out.shape) for v in o.views), out])
    network.add_binary(_stem(op), a.as_array(), b.as_array(), out.as_array())


def _affine(network: _core.Network, op: ir.ChannelAffine, o: Operands) -> None:
    x, out = merge_axes([o.views[0], o.out], first=1)
    assert o.node.scale is not None
    assert o.node.bias is not None
    network.add_affine(x.as_array(), out.as_array(), o.node.scale, o.node.bias, o.activation)


def _activation(network: _core.Network, op: ir.LeakyRelu | ir.Clip, o: Operands) -> None:
    values = (op.slope, 0.0) if isinstance(op, ir.LeakyRelu) else (op.least, op.most)
    parameters = np.array(values, np.float32)
    network.add_elementwise(
        o.inputs[0].as_tuple(), None, o.output.as_tuple(), _stem(op), parameters
    )


def _matmul(network: _core.Network, op: ir.MatMul, o: Operands) -> None:
    a, b = o.views
    a = a.spread((*o.shape[:-1], a.shape[-1]))
    b = b.spread((*o.shape[:-2], *b.shape[-2:]))
    network.add_matmul(a.as_array(), b.as_array(), o.out.as_array())


def _linear_rows(network: _core.Network, op: ir.Linear, o: Operands) -> None:
    bias = o.node.bias
    network.add_linear_rows(
        input=o.views[0].as_array(),
        output=o.out.as_array(),
        weight=o.weights.pop(o.node.name),
        scale=o.node.scale,
        bias=np.zeros(op.out_features, np.float32) if bias is None else bias,
        activation="none",
        dense=True,
    )


def _conv_transpose(network: _core.Network, op: ir.ConvTranspose2d, o: Operands) -> None:
    bias = o.node.bias
    network.add_conv_transpose(
        input=o.inputs[0].as_tuple(),
        output=o.output.as_tuple(),
        window=(*op.kernel, *op.stride, *op.padding, *op.dilation),
        bias=np.zeros(op.out_channels, np.float32) if bias is None else bias,
        weight=o.weights.pop(o.node.name),
        scale=o.node.scale,
    )


def _softmax(network: _core.Network, op: ir.Softmax, o: Operands) -> None:
    network.add_softmax(o.views[0].as_array(), o.out.as_array(), op.axis)


def _reduce(network: _core.Network, op: ir.Reduce, o: Operands) -> None:
    x, out = o.views[0], o.out
    rank = len(x.shape)
    kept = [axis for axis in range(rank) if axis not in op.axes]
    places = kept if op.keep else range(len(kept))
    sizes = tuple(x.shape[axis] for axis in kept) or (1,)
    from_kept = View(x.offset, sizes, tuple(x.strides[axis] for axis in kept) or (0,))
    to_kept = View(out.offset, sizes, tuple(out.strides[axis] for axis in places) or (0,))
    axes = sorted(op.axes)
    reduced = View(
        x.offset, tuple(x.shape[axis] for axis in axes), tuple(x.strides[axis] for axis in axes)
    )
    (reduced,) = merge_axes([reduced])
    network.add_reduce(
        {"mean": "add", "sum": "add"}.get(op.kind, op.kind),
        op.kind == "mean",
        rank - 1 in kept,
        from_kept.as_array(),
        reduced.as_array(),
        to_kept.as_array(),
    )


def _reshape(network: _core.Network, op: Op, o: Operands) -> None:
    network.add_reshape(o.inputs[0].as_tuple(), o.output.as_tuple())


def _rearrange(
    network: _core.Network, o: Operands, tables: list[NDArray[np.int64]], fill: float = 0.0
) -> None:
    """A copy by the offsets of each axis; below 0: ``fill``."""
    piece = (o.views[0].offset, np.concatenate(tables), o.out.as_array())
    network.add_rearrange([piece], np.array([fill], np.float32))


def _tables(x: View) -> list[NDArray[np.int64]]:
    """The offsets of all indices of each axis."""
    return [np.arange(n, dtype=np.int64) * s for n, s in zip(x.shape, x.strides, strict=True)]


def _transpose(network: _core.Network, op: ir.Transpose, o: Operands) -> None:
    tables = _tables(o.views[0])
    _rearrange(network, o, [tables[axis] for axis in op.axes] or tables)


def _slice(network: _core.Network, op: ir.Slice, o: Operands) -> None:
    tables = _tables(o.views[0])
    own = tables[op.axis]
    tables[op.axis] = own[np.array(op.indices(len(own)))]
    _rearrange(network, o, tables)


def _pad(network: _core.Network, op: ir.Pad, o: Operands) -> None:
    tables = _tables(o.views[0])
    for axis in range(len(op.before)):
        source = np.array(op.source(axis, len(tables[axis])))
        tables[axis] = np.where(source >= 0, tables[axis][source], -1)
    _rearrange(network, o, tables, op.value)


def _concat(network: _core.Network, op: ir.Concat, o: Operands) -> None:
    out, pieces = o.out, []
    at = out.offset
    for x in o.views:
        part = View(at, x.shape, out.strides)
        pieces.append((x.offset, np.concatenate(_tables(x)), part.as_array()))
        at += x.shape[op.axis] * out.strides[op.axis]
    network.add_rearrange(pieces, np.zeros(1, np.float32))


def _resize(network: _core.Network, op: ir.Resize, o: Operands) -> None:
    if op.mode == "linear":
        window_steps.add_blend(network, op, o.inputs[0], o.output)
        return
    tables = _tables(o.views[0])
    for axis in (0, 1):
        nearest = op.nearest(axis, o.shapes[0][1 + axis], o.shape[1 + axis])
        tables[1 + axis] = tables[1 + axis][nearest]
    _rearrange(network, o, tables)


def _pool(network: _core.Network, op: ir.Pool2d | ir.AdaptivePool2d, o: Operands) -> None:
    window_steps.add_window_pool(network, op, o.inputs[0], o.output)


def _stem(op: Op) -> str:
    return type(op).__name__.lower()


_COPY = "copies by the offsets of each axis"

VALUE_STEPS: dict[type[Op], ValueStep] = {
    ir.Constant: ValueStep(_stem, "is written anew for each image", _constant),
    **dict.fromkeys(
        (ir.Add, ir.Sub, ir.Mul, ir.Div),
        ValueStep(_stem, "by rows; where a value is spread, it is read again", _binary),
    ),
    ir.ChannelAffine: ValueStep(_stem, "no convolution can take this scale and shift", _affine),
    ir.LeakyRelu: ValueStep(_stem, "elementwise", _activation),
    ir.Clip: ValueStep(_stem, "elementwise", _activation),
    ir.MatMul: ValueStep(_stem, "adds scaled rows of the second matrix", _matmul),
    ir.Linear: ValueStep(lambda op: "linearrows", "one row after the other", _linear_rows),
    ir.ConvTranspose2d: ValueStep(
        lambda op: f"convtranspose{op.kernel[0]}x{op.kernel[1]}s{op.stride[0]}",
        "adds shifted rows to a plane for each phase of the stride",
        _conv_transpose,
    ),
    ir.Softmax: ValueStep(_stem, "along rows, or of whole rows", _softmax),
    ir.Reduce: ValueStep(lambda op: f"reduce{op.kind}", "along rows, or of whole rows", _reduce),
    **dict.fromkeys(
        (ir.Flatten, ir.Reshape),
        ValueStep(_stem, "copies what rows of both shapes have in common", _reshape),
    ),
    ir.Transpose: ValueStep(_stem, _COPY, _transpose),
    ir.Slice: ValueStep(_stem, _COPY, _slice),
    ir.Pad: ValueStep(lambda op: f"pad{op.mode}", _COPY, _pad),
    ir.Concat: ValueStep(_stem, "copies its parts", _concat),
    ir.Resize: ValueStep(
        lambda op: f"resize{op.mode}", "rows and columns by tables of what they read", _resize
    ),
    **dict.fromkeys(
        (ir.MaxPool2d, ir.AvgPool2d, ir.AdaptiveMaxPool2d, ir.AdaptiveAvgPool2d),
        ValueStep(_stem, "windows by tables of where they begin and end", _pool),
    ),
}


__all__ = ["VALUE_STEPS", "Operands", "ValueStep"]
