"""Operators without weights as torch calls."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lilnetx.errors import GraphError
from lilnetx.graph import ir
from lilnetx.graph.ir import Op, Shape

# Of the values that an operator reads, without the batch: known when the network is built, so that
# calls can be traced.
Shapes = tuple[Shape, ...]


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """A function of two values; where one has fewer axes, new ones come behind its batch."""

    def call(op: Op, shapes: Shapes, a: Tensor, b: Tensor) -> Tensor:
        rank = max(len(shape) for shape in shapes)
        one, other = (
            x if len(shape) == rank else x.reshape(x.shape[0], *[1] * (rank - len(shape)), *shape)
            for x, shape in zip((a, b), shapes, strict=True)
        )
        return function(one, other)

    return call


def _sides(op: ir.Pool2d) -> tuple[int, int, int, int]:
    """Padding as torch's ``pad`` takes it: left, right, top, bottom."""
    return op.padding[1], op.ends[1], op.padding[0], op.ends[0]


def _fits_torch(op: ir.Pool2d) -> bool:
    """Whether torch's own pooling can pad so."""
    half = all(2 * p <= k for p, k in zip(op.padding, op.kernel, strict=True))
    return half and op.padding == op.ends


def _max_pool(op: ir.MaxPool2d, shapes: Shapes, x: Tensor) -> Tensor:
    padding = op.padding
    if not _fits_torch(op):
        x, padding = functional.pad(x, _sides(op), value=-math.inf), (0, 0)
    return functional.max_pool2d(x, op.kernel, op.stride, padding, op.dilation, op.ceil_mode)


def _avg_pool(op: ir.AvgPool2d, shapes: Shapes, x: Tensor) -> Tensor:
    if op.dilation != (1, 1):
        raise GraphError("average pooling with dilation has no torch form")
    if _fits_torch(op):
        return functional.avg_pool2d(
            x, op.kernel, op.stride, op.padding, op.ceil_mode, op.count_include_pad
        )
    padded = functional.pad(x, _sides(op))
    mean = functional.avg_pool2d(padded, op.kernel, op.stride, 0, op.ceil_mode)
    if op.count_include_pad:
        return mean
    inside = functional.pad(torch.ones_like(x), _sides(op))
    return mean / functional.avg_pool2d(inside, op.kernel, op.stride, 0, op.ceil_mode)


def _resize(op: ir.Resize, shapes: Shapes, x: Tensor) -> Tensor:
    (shape,) = shapes
    for axis, out in zip((2, 3), op.output_shape([shape])[1:], strict=True):
        pixels = shape[axis - 1]
        if op.mode == "nearest":
            index = torch.tensor(op.nearest(axis - 2, pixels, out), device=x.device)
            x = x.index_select(axis, index)
            continue
        at = torch.tensor(op.positions(axis - 2, pixels, out)).clamp(0, pixels - 1)
        low = at.floor().long()
        share = (at - low).to(x.dtype).reshape([-1 if i == axis else 1 for i in range(4)])
        above = x.index_select(axis, (low + 1).clamp(max=pixels - 1))
        x = x.index_select(axis, low) * (1 - share) + above * share
    return x


def _pad(op: ir.Pad, shapes: Shapes, x: Tensor) -> Tensor:
    if op.mode == "constant":
        pairs = zip(reversed(op.before), reversed(op.after), strict=True)
        return functional.pad(x, [n for pair in pairs for n in pair], value=op.value)
    for axis, size in enumerate(shapes[0]):
        index = op.source(axis, size)
        x = x.index_select(1 + axis, torch.tensor(index, device=x.device))
    return x


def _slice(op: ir.Slice, shapes: Shapes, x: Tensor) -> Tensor:
    index = torch.tensor(list(op.indices(shapes[0][op.axis])), device=x.device)
    return x.index_select(1 + op.axis, index)


def _reduce(op: ir.Reduce, shapes: Shapes, x: Tensor) -> Tensor:
    functions: dict[str, Callable[..., Tensor]] = {
        "mean": torch.mean,
        "sum": torch.sum,
        "max": torch.amax,
        "min": torch.amin,
    }
    return functions[op.kind](x, [axis + 1 for axis in op.axes], keepdim=op.keep)


FUNCTIONS: dict[type[Op], Callable[..., Any]] = {
    ir.MaxPool2d: _max_pool,
    ir.AvgPool2d: _avg_pool,
    ir.AdaptiveAvgPool2d: lambda op, shapes, x: functional.adaptive_avg_pool2d(x, op.size),
    ir.AdaptiveMaxPool2d: lambda op, shapes, x: functional.adaptive_max_pool2d(x, op.size),
    ir.GlobalAvgPool: lambda op, shapes, x: x.mean((2, 3), keepdim=True),
    ir.Resize: _resize,
    ir.Relu: lambda op, shapes, x: x.relu(),
    ir.Relu6: lambda op, shapes, x: functional.relu6(x),
    ir.HardSwish: lambda op, shapes, x: functional.hardswish(x),
    ir.Silu: lambda op, shapes, x: functional.silu(x),
    ir.HardSigmoid: lambda op, shapes, x: functional.hardsigmoid(x),
    ir.Sigmoid: lambda op, shapes, x: x.sigmoid(),
    ir.LeakyRelu: lambda op, shapes, x: functional.leaky_relu(x, op.slope),
    ir.Clip: lambda op, shapes, x: x.clamp(op.least, op.most),
    ir.Gelu: lambda op, shapes, x: functional.gelu(x),
    ir.GeluTanh: lambda op, shapes, x: functional.gelu(x, approximate="tanh"),
    ir.Add: _binary(torch.add),
    ir.Sub: _binary(torch.sub),
    ir.Mul: _binary(torch.mul),
    ir.Div: _binary(torch.div),
    ir.MatMul: _binary(torch.matmul),
    ir.Softmax: lambda op, shapes, x: x.softmax(op.axis + 1),
    ir.Reduce: _reduce,
    ir.Flatten: lambda op, shapes, x: x.reshape(x.shape[0], -1),
    ir.Reshape: lambda op, shapes, x: x.reshape(x.shape[0], *op.output_shape(list(shapes))),
    ir.Transpose: lambda op, shapes, x: x.permute(0, *(axis + 1 for axis in op.axes)),
    ir.Concat: lambda op, shapes, *xs: torch.cat(xs, op.axis + 1),
    ir.Slice: _slice,
    ir.Pad: _pad,
}

__all__ = ["FUNCTIONS"]
