"""One table of operators with the shapes that they are tested on; convolutions are in cases.py."""

from __future__ import annotations

import math

import numpy as np

from lilnetx.graph import ir
from lilnetx.graph.ir import DenseWeight, Graph, Node, Op, Shape
from lilnetx.graph.weights import weight_shape

IMAGE, ODD, VECTOR, MATRIX, DEEP = (4, 7, 9), (3, 5, 16), (24,), (6, 20), (2, 3, 4, 5)
ANY_RANK: tuple[Shape, ...] = (IMAGE, ODD, VECTOR, MATRIX, DEEP)

CASES: list[tuple[Op, tuple[Shape, ...]]] = []


def _add(op: Op, *shapes: Shape) -> None:
    CASES.append((op, shapes))


for _shape in (*ANY_RANK, ()):
    for _op in (
        ir.LeakyRelu(float(np.float32(0.1))),
        ir.Clip(-0.5, math.inf),
        ir.Clip(-1.0, 0.25),
        ir.Gelu(),
        ir.GeluTanh(),
    ):
        _add(_op, _shape)
for _kind in (ir.Add, ir.Sub, ir.Mul, ir.Div):
    for _shape in (*ANY_RANK, ()):
        _add(_kind(), _shape, _shape)
    for _a, _b in (
        (IMAGE, (4, 1, 1)),
        ((4, 1, 1), IMAGE),
        (IMAGE, (1, 7, 9)),
        (IMAGE, (1, 1, 9)),
        ((4, 7, 1), (1, 1, 9)),
        (IMAGE, ()),
        ((), IMAGE),
        (IMAGE, (9,)),
        (MATRIX, (20,)),
        (DEEP, (3, 1, 5)),
        ((2, 1, 4, 1), DEEP),
        ((5, 1, 1), (5, 1, 1)),
        ((8, 4, 16), (8, 1, 1)),
    ):
        _add(_kind(), _a, _b)
_add(ir.MatMul(), (5, 7), (7, 3))
_add(ir.MatMul(), (4, 5, 7), (4, 7, 3))
_add(ir.MatMul(), (4, 5, 7), (7, 18))
_add(ir.MatMul(), (1, 5, 7), (4, 7, 3))
_add(ir.MatMul(), (2, 1, 5, 4), (3, 4, 17))
for _shape in (MATRIX, (7, 5, 20), (2, 3, 4, 20)):
    _add(ir.Linear(20, 9), _shape)
_add(ir.Linear(5, 33), (3, 5))
for _shape in ((24,), (24, 5), (24, 7, 9), (24, 3, 2, 2)):
    _add(ir.ChannelAffine(24), _shape)
for _shape in ((), (3,), (2, 3), (4, 7, 9), (2, 1, 3, 4)):
    _add(ir.Constant(_shape))

_add(ir.ConvTranspose2d(4, 5, (2, 2), (2, 2)), IMAGE)
_add(ir.ConvTranspose2d(4, 5, (3, 3), (2, 2), (1, 1), (1, 1)), IMAGE)
_add(ir.ConvTranspose2d(4, 6, (3, 2), (1, 3), (2, 0), (0, 1), (1, 2), 2), IMAGE)
_add(ir.ConvTranspose2d(4, 4, (4, 4), (2, 2), (1, 1), groups=4), IMAGE)
_add(ir.ConvTranspose2d(4, 7, (1, 1)), IMAGE)
_add(ir.ConvTranspose2d(4, 6, (1, 1), (3, 2), (0, 0), (2, 1), groups=2), IMAGE)
_add(ir.ConvTranspose2d(4, 3, (5, 5), (3, 3), (4, 4), (2, 2), (2, 2)), IMAGE)
_add(ir.ConvTranspose2d(4, 20, (3, 3)), (4, 1, 1))

_add(ir.MaxPool2d((3, 3), (2, 2), (1, 1), padding_end=(0, 2)), IMAGE)
_add(ir.MaxPool2d((2, 2), (1, 1), dilation=(3, 2)), IMAGE)
_add(ir.MaxPool2d((3, 3), (1, 1), (2, 2)), IMAGE)
_add(ir.MaxPool2d((3, 3), (3, 3), (2, 2), True, (1, 0), (2, 2)), IMAGE)
_add(ir.AvgPool2d((3, 3), (2, 2), (1, 1), padding_end=(0, 2)), IMAGE)
_add(ir.AvgPool2d((3, 3), (2, 2), (2, 0), False, False, (1, 2)), IMAGE)
_add(ir.AvgPool2d((3, 3), (2, 2), (2, 2), True, True), IMAGE)
_add(ir.AvgPool2d((2, 2), (2, 2), (0, 0), True, True, (1, 1)), IMAGE)
for _size in ((1, 1), (3, 4), (7, 9), (10, 12), (2, 1)):
    _add(ir.AdaptiveAvgPool2d(_size), IMAGE)
    _add(ir.AdaptiveMaxPool2d(_size), IMAGE)

for _shape in ANY_RANK:
    for _axis in range(len(_shape)):
        _add(ir.Softmax(_axis), _shape)
for _reduction in ("mean", "sum", "max", "min"):
    for _shape, _axes, _keep in (
        (IMAGE, (0,), False),
        (IMAGE, (2,), True),
        (IMAGE, (1, 2), True),
        (IMAGE, (1, 2), False),
        (IMAGE, (0, 1, 2), False),
        (IMAGE, (0, 2), False),
        (VECTOR, (0,), True),
        (MATRIX, (0,), False),
        (MATRIX, (1,), False),
        (DEEP, (1, 3), True),
        (DEEP, (2,), False),
    ):
        _add(ir.Reduce(_reduction, _axes, _keep), _shape)  # type: ignore[arg-type]

for _shape in (*ANY_RANK, ()):
    _add(ir.Flatten(), _shape)
_add(ir.Reshape((4, 63)), IMAGE)
_add(ir.Reshape((9, 4, 7)), IMAGE)
_add(ir.Reshape((2, 2, 7, -1)), IMAGE)
_add(ir.Reshape((6, 5, -1)), DEEP)
_add(ir.Reshape(()), (1, 1, 1))
_add(ir.Reshape((1, 1, 1)), ())
for _axes in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
    _add(ir.Transpose(_axes), IMAGE)
_add(ir.Transpose((1, 0)), MATRIX)
_add(ir.Transpose((3, 1, 0, 2)), DEEP)
_add(ir.Transpose(()), ())
_add(ir.Concat(0), IMAGE)
_add(ir.Concat(0), IMAGE, (2, 7, 9), IMAGE)
_add(ir.Concat(1), IMAGE, (4, 2, 9))
_add(ir.Concat(2), (4, 7, 1), IMAGE)
_add(ir.Concat(0), VECTOR, (3,))
_add(ir.Concat(1), MATRIX, (6, 1))
_add(ir.Concat(2), DEEP, (2, 3, 1, 5))
for _op in (
    ir.Slice(0, 1, 3),
    ir.Slice(1, -3),
    ir.Slice(2, 1, None, 3),
    ir.Slice(2, -1, None, -1),
    ir.Slice(1, 5, -7, -2),
):
    _add(_op, IMAGE)
_add(ir.Slice(0, 3, 9), VECTOR)
_add(ir.Slice(2, 1, 3), DEEP)
for _mode in ("constant", "reflect", "edge", "wrap"):
    _add(ir.Pad((0, 1, 2), (0, 3, 1), _mode), IMAGE)  # type: ignore[arg-type]
    _add(ir.Pad((0, 6, 8), (0, 6, 8), _mode), IMAGE)  # type: ignore[arg-type]
    _add(ir.Pad((1, 4), (2, 0), _mode), MATRIX)  # type: ignore[arg-type]
_add(ir.Pad((1, 0, 2), (0, 1, 1), "constant", -math.inf), IMAGE)
_add(ir.Pad((0, -1, 2), (0, 0, -3), "constant", 0.5), IMAGE)
for _resize in (
    ir.Resize("nearest", (2.0, 2.0)),
    ir.Resize("nearest", (3.0, 1.0)),
    ir.Resize("nearest", (0.5, 0.5), None, "half_pixel", "prefer_floor"),
    ir.Resize("nearest", (0.625, 1.75), None, "asymmetric", "prefer_ceil"),
    ir.Resize("nearest", (0.0, 0.0), (10, 4), "align_corners", "ceil"),
    ir.Resize("linear", (2.0, 2.0), None, "half_pixel"),
    ir.Resize("linear", (0.625, 0.625), None, "half_pixel"),
    ir.Resize("linear", (0.0, 0.0), (11, 20), "align_corners"),
    ir.Resize("linear", (0.0, 0.0), (1, 3), "pytorch_half_pixel"),
    ir.Resize("linear", (3.0, 2.0), None, "asymmetric"),
):
    _add(_resize, IMAGE)


def case_id(case: tuple[Op, tuple[Shape, ...]]) -> str:
    op, shapes = case
    return f"{op}@{'+'.join('x'.join(map(str, shape)) for shape in shapes)}"


def operator_graph(op: Op, shapes: tuple[Shape, ...]) -> Graph:
    """The operator between values that steps before have computed, and one that reads it.

    So its operands lie where the runtime puts values, between others, and what it writes beside
    its own would show.
    """
    rng = np.random.default_rng(len(str(op)))
    weight = scale = bias = None
    if isinstance(op, ir.Weighted):
        filters = weight_shape(op)[0]
        values = rng.normal(0, 0.4, weight_shape(op)) * (rng.random(weight_shape(op)) < 0.7)
        weight, bias = DenseWeight(values.astype(np.float32)), rng.normal(0, 1, filters)
        scale = rng.uniform(0.5, 1.5, filters).astype(np.float32)
    elif isinstance(op, ir.ChannelAffine):
        scale = rng.uniform(0.5, 1.5, op.channels).astype(np.float32)
        bias = rng.normal(0, 1, op.channels)
    elif isinstance(op, ir.Constant):
        weight = DenseWeight(rng.normal(0, 1, op.shape).astype(np.float32))
    inputs = {f"x{i}": shape for i, shape in enumerate(shapes)} or {"x0": (2, 3, 3)}
    names = tuple(f"in{i}" for i in range(len(shapes)))
    nodes = [Node(f"in{i}", ir.Relu(), (f"x{i}",)) for i in range(len(shapes))]
    if isinstance(op, ir.Div):
        one = Node("one", ir.Constant(()), (), DenseWeight(np.array(0.5, np.float32)))
        nodes += [one, Node("safe", ir.Add(), ("in1", "one"))]
        names = ("in0", "safe")
    bias = None if bias is None else bias.astype(np.float32)
    nodes.append(Node("y", op, names, weight, scale, bias))
    nodes.append(Node("after", ir.Sigmoid(), ("y",)))
    first, *more = inputs.items()
    return Graph(*first, tuple(nodes), ("y", "after"), more_inputs=dict(more))
