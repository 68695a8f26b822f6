"""What ONNX operators on values of any rank become."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from lilnetx.graph import ir, lowering
from lilnetx.graph.builder import Operand, RefusalError, Value
from lilnetx.graph.ir import Activation
from lilnetx.graph.onnx_context import OnnxNode

Handler = Callable[[OnnxNode], "Operand | Sequence[Operand]"]


def _activation(op: Activation) -> Handler:
    return lambda node: node.build.add(op, node.value())


def _binary(kind: str) -> Handler:
    return lambda node: lowering.binary(node.build, kind, node.operand(0), node.operand(1))


def leaky_relu(node: OnnxNode) -> Value:
    """LeakyRelu."""
    slope = float(np.float32(node.attribute("alpha", 0.01)))
    return node.build.add(ir.LeakyRelu(slope), node.value())


def clip(node: OnnxNode) -> Value:
    """Clip, with bounds that may be absent."""
    least = node.scalar(1, "a bound", -math.inf)
    most = node.scalar(2, "a bound", math.inf)
    # The bounds of the type itself bound nothing.
    limit = float(np.finfo(np.float32).max)
    least = -math.inf if least <= -limit else least
    most = math.inf if most >= limit else most
    return lowering.clip(node.build, node.value(), least, most)


def hard_sigmoid(node: OnnxNode) -> Value:
    """HardSigmoid."""
    alpha, beta = float(node.attribute("alpha", 0.2)), float(node.attribute("beta", 0.5))
    return lowering.hard_sigmoid(node.build, node.value(), alpha, beta)


def gelu(node: OnnxNode) -> Value:
    """Gelu, exact or by tanh."""
    exact = node.attribute("approximate", "none") == "none"
    return node.build.add(ir.Gelu() if exact else ir.GeluTanh(), node.value())


def swish(node: OnnxNode) -> Value:
    """Swish, which is SiLU."""
    if float(node.attribute("alpha", 1.0)) != 1.0:
        raise RefusalError("with an alpha other than 1")
    return node.build.add(ir.Silu(), node.value())


def sum_(node: OnnxNode) -> Operand:
    """Sum of any number of values."""
    total = node.operand(0)
    for i in range(1, len(node.names)):
        total = lowering.binary(node.build, "add", total, node.operand(i))
    return total


def matmul(node: OnnxNode) -> Operand:
    """MatMul."""
    return lowering.matmul(node.build, node.operand(0), node.operand(1))


def gemm(node: OnnxNode) -> Operand:
    """Gemm: a linear layer where the second matrix is constant, else a matrix product."""
    build, name = node.build, node.build.name
    alpha, beta = float(node.attribute("alpha", 1.0)), float(node.attribute("beta", 1.0))
    a, b = node.operand(0), node.operand(1)
    if node.attribute("transA", 0):
        if not isinstance(a, Value):
            a = a.T
        else:
            build.name = f"{name}.a"
            a = build.transpose(a, (1, 0))
    bias = node.operand(2) if node.has(2) else None
    if isinstance(a, Value) and not isinstance(b, Value):
        weight = b if node.attribute("transB", 0) else b.T
        weight = np.asarray(weight, np.float32) * np.float32(alpha)
        constant = None
        if bias is not None and not isinstance(bias, Value) and bias.shape[:-1] in ((), (1,)):
            row = np.broadcast_to(bias.reshape(-1), (weight.shape[0],)).astype(np.float32)
            constant, bias = row * np.float32(beta), None
        build.name = name
        product: Operand = lowering.linear(build, a, weight, constant)
    else:
        if node.attribute("transB", 0):
            build.name = f"{name}.b"
            b = build.transpose(b, (1, 0)) if isinstance(b, Value) else b.T
        build.name = name
        product = lowering.matmul(build, a, b)
        build.name = f"{name}.alpha"
        if alpha != 1.0:
            product = lowering.binary(build, "mul", product, np.array(alpha, np.float32))
    if bias is not None:
        build.name = f"{name}.beta"
        if beta != 1.0:
            bias = lowering.binary(build, "mul", bias, np.array(beta, np.float32))
        build.name = f"{name}.sum"
        product = lowering.binary(build, "add", product, bias)
    return product


def softmax(node: OnnxNode) -> Value:
    """Softmax along one axis."""
    return node.build.softmax(node.value(), int(node.attribute("axis", -1)))


def _reduce(kind: str) -> Handler:
    def handler(node: OnnxNode) -> Operand:
        x = node.value(0)
        axes = node.integers(1, "axes")
        if axes is None:
            axes = [int(a) for a in node.attribute("axes", [])]
        if not axes:
            if node.attribute("noop_with_empty_axes", 0):
                return x
            axes = list(range(len(x.shape)))
        return node.build.reduce(kind, x, axes, bool(node.attribute("keepdims", 1)))

    return handler


def gather(node: OnnxNode) -> Value:
    """Gather by constant indices: slices of what follows each other, and their concatenation."""
    x, index = node.value(0), node.required(1, "indices")
    axis = int(node.attribute("axis", 0)) % len(x.shape)
    build, name, size = node.build, node.build.name, x.shape[axis]
    wanted = [int(i) % size for i in np.asarray(index).reshape(-1)]
    if index.ndim > 1 or not wanted:
        raise RefusalError(f"with indices of shape {index.shape}")
    starts = [i for i, n in enumerate(wanted) if i == 0 or n != wanted[i - 1] + 1]
    parts = []
    for number, start in enumerate(starts):
        stop = starts[number + 1] if number + 1 < len(starts) else len(wanted)
        build.name = f"{name}.{number}" if len(starts) > 1 else name
        parts.append(build.slice(x, axis, wanted[start], wanted[stop - 1] + 1, 1))
    build.name = name
    y = parts[0] if len(parts) == 1 else build.concat(parts, axis)
    if index.ndim == 0:
        build.name = f"{name}.element"
        y = build.reshape(y, [n for i, n in enumerate(y.shape) if i != axis])
    return y


def concat(node: OnnxNode) -> Value:
    """Concat."""
    operands = [node.operand(i) for i in range(len(node.names))]
    return node.build.concat(operands, int(node.attribute("axis")))


def split(node: OnnxNode) -> list[Operand]:
    """Split, as one slice for each part."""
    x = node.value(0)
    axis = int(node.attribute("axis", 0)) % len(x.shape)
    size, count = x.shape[axis], len(node.output_names)
    parts = node.integers(1, "sizes")
    if parts is None:
        step = -(-size // int(node.attribute("num_outputs", count)))
        parts = [min(step, size - i * step) for i in range(count)]
    results: list[Operand] = []
    at, name = 0, node.build.name
    for i, part in enumerate(parts):
        if part < 1:
            raise RefusalError("into an empty part")
        node.build.name = f"{name}.{i}"
        results.append(node.build.slice(x, axis, at, at + part, 1))
        at += part
    return results


def slice_(node: OnnxNode) -> Operand:
    """Slice, one axis after the other."""
    x = node.value(0)
    starts, ends = node.integers(1, "starts"), node.integers(2, "ends")
    if starts is None or ends is None:
        raise RefusalError("without starts or ends")
    axes = node.integers(3, "axes") or list(range(len(starts)))
    steps = node.integers(4, "steps") or [1] * len(starts)
    name = node.build.name
    for i, (axis, start, stop, step) in enumerate(zip(axes, starts, ends, steps, strict=True)):
        size = x.shape[axis % len(x.shape)]
        node.build.name = name if len(starts) == 1 else f"{name}.{i}"
        # Up to or beyond an end of the axis means all of it, whatever its size.
        last = stop >= size if step > 0 else stop < -size
        if start >= size and step < 0:
            start = -1
        x = node.build.slice(x, axis, start, None if last else stop, step)
    return x


def pad(node: OnnxNode) -> Value:
    """Pad, of all modes."""
    x = node.value(0)
    pads = node.integers(1, "pads") or []
    rank = len(x.shape)
    axes = node.integers(3, "axes") or list(range(rank))
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        before[axis % rank], after[axis % rank] = pads[i], pads[len(axes) + i]
    mode = node.attribute("mode", "constant")
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise RefusalError(f"with mode {mode!r}")
    value = node.scalar(2, "a value", 0.0)
    return node.build.pad(x, before, after, mode, value)


def reshape(node: OnnxNode) -> Value:
    """Reshape, where 0 may mean the size before."""
    x = node.value(0)
    target = node.integers(1, "a shape")
    if target is None:
        raise RefusalError("without a shape")
    if not node.attribute("allowzero", 0):
        target = [x.shape[i] if n == 0 else n for i, n in enumerate(target)]
    return node.build.reshape(x, target)


def flatten(node: OnnxNode) -> Value:
    """Flatten to two axes."""
    x = node.value(0)
    axis = int(node.attribute("axis", 1))
    axis = axis + len(x.shape) if axis < 0 else axis
    return node.build.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


def squeeze(node: OnnxNode) -> Value:
    """Squeeze: axes of one element go."""
    x = node.value(0)
    axes = node.integers(1, "axes")
    rank = len(x.shape)
    gone = {a % rank for a in axes} if axes else {i for i, n in enumerate(x.shape) if n == 1}
    return node.build.reshape(x, [n for i, n in enumerate(x.shape) if i not in gone])


def unsqueeze(node: OnnxNode) -> Value:
    """Unsqueeze: new axes of one element."""
    x = node.value(0)
    axes = node.integers(1, "axes") or []
    rank = len(x.shape) + len(axes)
    new = {a % rank for a in axes}
    sizes = iter(x.shape)
    return node.build.reshape(x, [1 if i in new else next(sizes) for i in range(rank)])


def transpose(node: OnnxNode) -> Value:
    """Transpose; without an order, all axes the other way round."""
    x = node.value(0)
    return node.build.transpose(x, node.attribute("perm", range(len(x.shape))[::-1]))


def identity(node: OnnxNode) -> Operand:
    """What passes its input on when it evaluates."""
    if node.kind == "Dropout":
        training = node.array(2, "the training mode")
        if node.outputs > 1 or (training is not None and bool(np.asarray(training).any())):
            raise RefusalError("in training mode")
    if node.kind == "Cast" and node.attribute("to") != 1:
        raise RefusalError("to another type than float32")
    return node.operand(0)


def shape(node: OnnxNode) -> Operand:
    """Shape, which is known while the network is imported."""
    sizes = node.value(0).shape
    start, end = node.attribute("start", 0), node.attribute("end")
    return np.array(sizes[start:end], np.int64)


HANDLERS: dict[str, Handler] = {
    "Relu": _activation(ir.Relu()),
    "Sigmoid": _activation(ir.Sigmoid()),
    "HardSwish": _activation(ir.HardSwish()),
    "LeakyRelu": leaky_relu,
    "Clip": clip,
    "HardSigmoid": hard_sigmoid,
    "Gelu": gelu,
    "Swish": swish,
    "Add": _binary("add"),
    "Sub": _binary("sub"),
    "Mul": _binary("mul"),
    "Div": _binary("div"),
    "Sum": sum_,
    "MatMul": matmul,
    "Gemm": gemm,
    "Softmax": softmax,
    "ReduceMean": _reduce("mean"),
    "ReduceSum": _reduce("sum"),
    "ReduceMax": _reduce("max"),
    "ReduceMin": _reduce("min"),
    "Concat": concat,
    "Gather": gather,
    "Split": split,
    "Slice": slice_,
    "Pad": pad,
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Shape": shape,
    **dict.fromkeys(("Identity", "Dropout", "Cast"), identity),
}

__all__ = ["HANDLERS"]
