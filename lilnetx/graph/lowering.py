"""What frameworks' operators become in a graph: the part that importers of all of them share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from lilnetx.graph import ir
from lilnetx.graph.builder import Array, Draft, GraphBuilder, Operand, RefusalError, Value
from lilnetx.graph.ir import Activation, Pair
from lilnetx.graph.weights import transposed_weight

Floats = NDArray[np.float64]

_NUMPY: dict[str, Callable[..., Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
}
_OPS: dict[str, type[ir.Binary]] = {"add": ir.Add, "sub": ir.Sub, "mul": ir.Mul, "div": ir.Div}


def _floats(array: Array | None) -> Floats | None:
    return None if array is None else np.asarray(array).astype(np.float64)


def _pairs(values: Sequence[int], what: str) -> Pair:
    if len(values) != 2:
        raise RefusalError(f"has {len(values)} {what}, expected 2")
    return int(values[0]), int(values[1])


def spatial(build: GraphBuilder, x: Value, rank: int, apply: Callable[[Value], Value]) -> Value:
    """Applies an operator on ``(C, H, W)`` to images of 1 or 2 axes, batched or a single one.

    Args:
        build: The graph.
        x: Shape ``(N, C, W)`` or ``(N, C, H, W)``.
        rank: Axes of an image that the operator has: 1 or 2.
        apply: Makes the operator.
    """
    if len(x.shape) != rank + 2 or rank not in (1, 2):
        raise RefusalError(
            f"on images of {rank} axes and a value of {len(x.shape)}: expected 1 or 2"
        )
    if not build.lead and x.shape[0] != 1:
        raise RefusalError("on several images in a network that mixes them elsewhere")
    name = build.name
    inner = x.shape[1:] if rank == 2 else (x.shape[1], 1, x.shape[2])
    head = x.shape[:1] if build.lead else ()
    if x.shape[build.lead :] != inner:
        build.name = f"{name}.image"
        x = build.reshape(x, (*head, *inner))
    build.name = name
    y = apply(x)
    if build.lead and rank == 2:
        return y
    build.name = f"{name}.back"
    result = y.shape[build.lead :]
    flat = result if rank == 2 else (result[0], *result[2:])
    y = build.reshape(y, (*(head or (1,)), *flat))
    build.name = name
    return y


def _two(values: Sequence[int], fill: int) -> Pair:
    """One or two numbers of axes as a pair, down and across."""
    return _pairs([fill, *values] if len(values) == 1 else values, "numbers")


def conv(
    build: GraphBuilder,
    x: Value,
    weight: Array,
    bias: Array | None,
    stride: Sequence[int],
    begin: Sequence[int],
    end: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    mode: str = "constant",
) -> Value:
    """A convolution, with a Pad before it where padding is not equal zeros at opposite sides."""
    rank = weight.ndim - 2
    weights = np.asarray(weight, np.float32)
    if rank == 1:
        weights = weights[:, :, None]

    def apply(image: Value) -> Value:
        first, last = _two(begin, 0), _two(end, 0)
        padding = first
        if first != last or mode != "constant":
            name = build.name
            build.name = f"{name}.pad"
            none = (0,) * (build.lead + 1)
            image = build.pad(image, (*none, *first), (*none, *last), mode)
            build.name, padding = name, (0, 0)
        kernel = (int(weights.shape[2]), int(weights.shape[3]))
        op = ir.Conv2d(
            weights.shape[1] * groups,
            weights.shape[0],
            kernel,
            _two(stride, 1),
            padding,
            _two(dilation, 1),
            groups,
        )
        return build.add(op, image, keep=Draft("", op, (), weight=weights, bias=_floats(bias)))

    return spatial(build, x, rank, apply)


def conv_transpose(
    build: GraphBuilder,
    x: Value,
    weight: Array,
    bias: Array | None,
    stride: Sequence[int],
    begin: Sequence[int],
    end: Sequence[int],
    output_padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Value:
    """A transposed convolution, of a weight ``(in, out / groups, Kh, Kw)``."""
    rank = weight.ndim - 2
    weights = np.asarray(weight, np.float32)
    if rank == 1:
        weights = weights[:, :, None]
    ours = transposed_weight(weights, groups)

    def apply(image: Value) -> Value:
        first, last, extra = _two(begin, 0), _two(end, 0), _two(output_padding, 0)
        # Less at the end than at the beginning is more output there.
        grown = tuple(o + f - e for o, f, e in zip(extra, first, last, strict=True))
        cut = tuple(max(-n, 0) for n in grown)
        kernel = (int(ours.shape[2]), int(ours.shape[3]))
        op = ir.ConvTranspose2d(
            weights.shape[0],
            ours.shape[0],
            kernel,
            _two(stride, 1),
            first,
            (max(grown[0], 0), max(grown[1], 0)),
            _two(dilation, 1),
            groups,
        )
        y = build.add(op, image, keep=Draft("", op, (), weight=ours, bias=_floats(bias)))
        if any(cut):
            build.name = f"{build.name}.cut"
            none = (0,) * (build.lead + 1)
            y = build.pad(y, (*none, 0, 0), (*none, -cut[0], -cut[1]))
        return y

    return spatial(build, x, rank, apply)


def linear(build: GraphBuilder, x: Value, weight: Array, bias: Array | None) -> Value:
    """``x W^T + b`` along the last axis, of a weight ``(out, in)``."""
    weights = np.ascontiguousarray(weight, np.float32)
    op = ir.Linear(weights.shape[1], weights.shape[0])
    if len(x.shape) - build.lead < 1:
        raise RefusalError("multiplies along the batch axis")
    return build.add(op, x, keep=Draft("", op, (), weight=weights, bias=_floats(bias)))


def batch_norm(build: GraphBuilder, x: Value, scale: Floats, shift: Floats) -> Value:
    """``x * scale + shift`` along axis 1."""
    op = ir.ChannelAffine(len(scale))
    keep = Draft("", op, (), scale=scale, bias=shift)
    if build.lead:
        return build.add(op, x, keep=keep)
    if x.shape[0] != 1:
        raise RefusalError("on several images in a network that mixes them elsewhere")
    name = build.name
    build.name = f"{name}.image"
    inner = build.reshape(x, x.shape[1:])
    build.name = name
    y = build.add(op, inner, keep=keep)
    build.name = f"{name}.back"
    return build.reshape(y, x.shape)


def matmul(build: GraphBuilder, a: Operand, b: Operand) -> Operand:
    """A matrix product; with a constant matrix at the right, a linear layer."""
    if not isinstance(a, Value) and not isinstance(b, Value):
        product: Array = np.matmul(a, b)
        return product
    if isinstance(a, Value) and not isinstance(b, Value) and b.ndim == 2 and len(a.shape) >= 2:
        return linear(build, a, b.T, None)
    name, squeeze = build.name, []
    shapes = [o.shape for o in (a, b)]
    if len(shapes[0]) == 1 or len(shapes[1]) == 1:
        if build.lead:
            raise RefusalError("multiplies by a vector")
        squeeze = [-2] if len(shapes[0]) == 1 else []
        squeeze += [-1] if len(shapes[1]) == 1 else []
    values = []
    like = a if isinstance(a, Value) else b
    assert isinstance(like, Value)
    for i, operand in enumerate((a, b)):
        build.name = f"{name}.{'ab'[i]}"
        value = operand if isinstance(operand, Value) else build.dynamic(operand, like)
        inner = value.shape if isinstance(operand, Value) else operand.shape
        if len(inner) == 1:
            value = build.reshape(value, (1, *inner) if i == 0 else (*inner, 1))
        values.append(value)
    if (
        build.lead
        and isinstance(a, Value)
        and isinstance(b, Value)
        and len(a.shape) != len(b.shape)
    ):
        raise RefusalError("multiplies values of different ranks, one batch by another's rows")
    if build.lead and any(len(v.shape) < 3 for v in values if v.name not in build.drafts):
        raise RefusalError("multiplies along the batch axis")
    build.name = name
    y = build.add(ir.MatMul(), *values)
    if squeeze:
        sizes = [n for i, n in enumerate(y.shape) if i - len(y.shape) not in squeeze]
        build.name = f"{name}.squeeze"
        y = build.reshape(y, sizes)
    return y


def binary(build: GraphBuilder, kind: str, a: Operand, b: Operand) -> Operand:
    """Arithmetic of two values, of which one may be constant."""
    if not isinstance(a, Value) and not isinstance(b, Value):
        return _NUMPY[kind](a, b)
    if isinstance(a, Value) and isinstance(b, Value):
        if build.lead and len(a.shape) != len(b.shape):
            raise RefusalError(f"of shapes {a.shape} and {b.shape}: expected as many axes")
        return build.add(_OPS[kind](), a, b)
    value, other = (a, b) if isinstance(a, Value) else (b, a)
    assert isinstance(value, Value)
    inner = _without_batch(build, np.asarray(other), value)
    affine = _affine(build, kind, value, inner, constant_first=value is b)
    if affine is not None:
        return affine
    name = build.name
    build.name = f"{name}.constant"
    constant = build.constant(inner)
    build.name = name
    return build.add(_OPS[kind](), *((value, constant) if value is a else (constant, value)))


def _without_batch(build: GraphBuilder, array: Array, like: Value) -> Array:
    """A constant operand without the batch axis; axes of one element in front of it go."""
    if not build.lead:
        return array
    while array.ndim > len(like.shape) - 1 and array.shape[0] == 1:
        array = array[0]
    if array.ndim > len(like.shape) - 1:
        if array.ndim > len(like.shape) or (array != array[:1]).any():
            raise RefusalError("has a constant that differs between images")
        array = array[0]
    return array


def _affine(
    build: GraphBuilder, kind: str, x: Value, array: Array, *, constant_first: bool
) -> Value | None:
    """Arithmetic with a constant for each channel, or for all, as a scale and a shift."""
    shape = x.shape[build.lead :]
    if not shape or not build.lead or (kind == "div" and constant_first):
        return None
    rest = (1,) * (len(shape) - array.ndim) + array.shape
    if len(rest) != len(shape) or rest not in ((1,) * len(shape), (shape[0], *rest[1:])):
        return None
    if any(n != 1 for n in rest[1:]):
        return None
    constant = np.broadcast_to(array.astype(np.float64).reshape(-1), (shape[0],)).copy()
    op = ir.ChannelAffine(shape[0])
    scale = shift = None
    if kind == "add":
        shift = constant
    elif kind == "sub":
        shift = constant if constant_first else -constant
        scale = -np.ones(shape[0]) if constant_first else None
    else:
        scale = constant if kind == "mul" else 1.0 / constant
    if scale is not None and not np.isfinite(scale).all():
        return None
    return build.add(op, x, keep=Draft("", op, (), scale=scale, bias=shift))


def clip(build: GraphBuilder, x: Value, least: float, most: float) -> Value:
    """``min(max(x, least), most)``, as ReLU or ReLU6 where it is one."""
    op: Activation
    if (least, most) == (0.0, np.inf):
        op = ir.Relu()
    elif (least, most) == (0.0, 6.0):
        op = ir.Relu6()
    elif (least, most) == (-np.inf, np.inf):
        return x
    else:
        op = ir.Clip(float(np.float32(least)), float(np.float32(max(least, most))))
        if least > most:  # the upper bound wins
            op = ir.Clip(float(np.float32(most)), float(np.float32(most)))
    return build.add(op, x)


def hard_sigmoid(build: GraphBuilder, x: Value, alpha: float, beta: float) -> Value:
    """``min(max(alpha * x + beta, 0), 1)``."""
    if abs(alpha - 1 / 6) < 1e-7 and beta == 0.5:
        return build.add(ir.HardSigmoid(), x)
    name = build.name
    build.name = f"{name}.scaled"
    scaled = binary(build, "mul", x, np.array(alpha, np.float32))
    build.name = f"{name}.shifted"
    shifted = binary(build, "add", scaled, np.array(beta, np.float32))
    assert isinstance(shifted, Value)
    build.name = name
    return clip(build, shifted, 0.0, 1.0)


def pool(
    build: GraphBuilder,
    x: Value,
    *,
    average: bool,
    kernel: Sequence[int],
    stride: Sequence[int],
    begin: Sequence[int],
    end: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
) -> Value:
    """Maximum or average pooling."""

    def apply(image: Value) -> Value:
        first, last = _two(begin, 0), _two(end, 0)
        ends = None if first == last else last
        sizes = (_two(kernel, 1), _two(stride, 1), first, ceil_mode)
        if average:
            op: ir.Pool2d = ir.AvgPool2d(*sizes, count_include_pad, ends, _two(dilation, 1))
        else:
            op = ir.MaxPool2d(*sizes, ends, _two(dilation, 1))
        return build.add(op, image)

    return spatial(build, x, len(kernel), apply)


def adaptive_pool(build: GraphBuilder, x: Value, size: Sequence[int], *, average: bool) -> Value:
    """Pooling to a number of pixels, even if there are as many; to one pixel, the global one."""

    def apply(image: Value) -> Value:
        out = _two(size, 1)
        if average and out == (1, 1):
            return build.add(ir.GlobalAvgPool(), image)
        kind = ir.AdaptiveAvgPool2d if average else ir.AdaptiveMaxPool2d
        return build.add(kind(out), image)

    return spatial(build, x, len(size), apply)


__all__ = [
    "adaptive_pool",
    "batch_norm",
    "binary",
    "clip",
    "conv",
    "conv_transpose",
    "hard_sigmoid",
    "linear",
    "matmul",
    "pool",
    "spatial",
]
