"""Graphs for the tests of the file format, and what it means that two are the same."""

from __future__ import annotations

import json

import numpy as np

from lilnetx.graph import ir
from lilnetx.graph.ir import (
    Add,
    AvgPool2d,
    Conv2d,
    Decoder,
    DenseWeight,
    Flatten,
    GlobalAvgPool,
    Graph,
    HardSigmoid,
    HardSwish,
    LatentWeight,
    Linear,
    MaxPool2d,
    Node,
    Relu,
    Relu6,
    Sigmoid,
    Silu,
    Softmax,
)
from lilnetx.graph.shapes import infer_shapes
from lilnetx.graph.weights import latent_shape, weight_shape

ACTIVATIONS = (Relu, Relu6, HardSwish, Silu, HardSigmoid, Sigmoid)


def decoder(rng, name, n, exponent=12):
    return Decoder(name, rng.integers(-2000, 2001, (n, n)).astype(np.int32), exponent)


def latents(rng, op, n, density):
    shape = latent_shape(op, n)
    values = rng.integers(-3, 4, shape) * (rng.random((*shape[:2], 1)) < density)
    return values.astype(np.int32)


def side(rng, count):
    """A vector that is stored raw, as fixed point, or with what no fixed point can hold."""
    kind = rng.integers(0, 4)
    if kind == 0:
        return rng.normal(size=count).astype(np.float32)
    if kind == 1:
        return np.zeros(count, np.float32)
    fixed = rng.integers(-2047, 2048, count) * 2.0 ** float(rng.integers(-20, 9))
    if kind == 2:
        fixed[rng.integers(0, count)] = rng.choice([-0.0, 1e-40, 3e38])
    return fixed.astype(np.float32)


def random_graph(seed):
    """Every operator, weight kind and option, with all shapes fitting together."""
    rng = np.random.default_rng(seed)
    decoders = {
        name: decoder(rng, name, n, int(rng.integers(-3, 20)))
        for name, n in (("3x3", 9), ("1×5", 5), ("1x1", 1), ("1x1g4", 4), ("7x7", 49))
    }
    nodes: list[Node] = []
    channels = int(rng.integers(1, 5)) * 6

    def add(op, *inputs, weight=None):
        name = f"{rng.choice(['层', 'layer', 'Schicht ä', 'x'])}.{len(nodes)}.{type(op).__name__}"
        scale = bias = None
        if weight is not None:
            filters = weight_shape(op)[0]
            scale = side(rng, filters) if rng.random() < 0.6 else None
            bias = side(rng, filters) if rng.random() < 0.6 else None
        nodes.append(Node(name, op, inputs or (nodes[-1].name,), weight, scale, bias))
        return name

    def weighted(op, name):
        density = float(rng.choice([0.0, 0.1, 0.5, 1.0]))
        if rng.random() < 0.25:
            values = rng.normal(size=weight_shape(op)) * (rng.random(weight_shape(op)) < density)
            return DenseWeight(values.astype(np.float32))
        return LatentWeight(latents(rng, op, decoders[name].matrix.shape[0], density), name)

    def conv(kernel, name, *inputs, out=None, **options):
        op = Conv2d(channels, out or channels, kernel, **options)
        return add(op, *inputs, weight=weighted(op, name))

    conv((7, 7), "7x7", "data", padding=(3, 3), stride=(2, 2))
    add(MaxPool2d((3, 3), (2, 2), (1, 1), bool(rng.integers(0, 2))))
    trunk = add(Relu())
    for _ in range(int(rng.integers(1, 4))):
        groups = int(rng.choice([1, 2, 3, channels]))
        conv((3, 3), "3x3", trunk, padding=(1, 1), groups=groups)
        add(rng.choice(ACTIVATIONS)())
        conv((1, 1), str(rng.choice(["1x1", "1x1g4"])))
        branch = conv((3, 3), "3x3", padding=(2, 2), dilation=(2, 2))
        trunk = add(Add(), branch, trunk)
    conv((1, 5), "1×5", padding=(0, 2), stride=(1, 1))
    count_pad = bool(rng.integers(0, 2))
    add(AvgPool2d((2, 2), (2, 1), (1, 0), bool(rng.integers(0, 2)), count_pad))
    pooled = add(GlobalAvgPool())
    flat = add(Flatten())
    head = Linear(channels, 10)
    add(head, flat, weight=weighted(head, str(rng.choice(["1x1", "1x1g4"]))))
    outputs = (add(Softmax()), pooled, newer_operators(rng, nodes, trunk, channels))
    meta = {} if rng.random() < 0.3 else {"classes": ["T-shirt", "鞋"], "input": {"mean": [0.5]}}
    synthetic = bool(rng.integers(0, 2))
    graph = Graph("data", (channels, 33, 40), tuple(nodes), outputs, decoders, synthetic, meta)
    infer_shapes(graph)
    return graph


def newer_operators(rng, nodes, source, channels):
    """Operators whose bytes follow from their fields, one behind the other; the last one's name."""

    def add(op, *inputs, **more):
        read = inputs if inputs or isinstance(op, ir.Constant) else (nodes[-1].name,)
        nodes.append(Node(f"newer.{len(nodes)}", op, read, **more))
        return nodes[-1].name

    def floats(*shape):
        return rng.normal(size=shape).astype(np.float32)

    pad_mode = str(rng.choice(["constant", "reflect", "edge", "wrap"]))
    add(ir.AdaptiveAvgPool2d((6, 7)), source)
    add(ir.ChannelAffine(channels), scale=floats(channels), bias=side(rng, channels))
    add(rng.choice([ir.LeakyRelu(0.25), ir.Clip(-1.5, np.inf), ir.Gelu(), ir.GeluTanh()]))
    up = ir.ConvTranspose2d(channels, 3, (2, 2), (2, 2), (0, 0), (1, 0), (1, 2), 3)
    weight = rng.normal(size=weight_shape(up)).astype(np.float32)
    first = add(up, weight=DenseWeight(weight), bias=side(rng, 3))
    constant = add(ir.Constant((3, 1, 1)), weight=DenseWeight(floats(3, 1, 1)))
    add(rng.choice([ir.Sub(), ir.Mul(), ir.Div(), Add()]), first, constant)
    add(ir.Pad((0, 1, 2), (0, 2, 1), pad_mode, 0.5))
    add(ir.MaxPool2d((2, 3), (1, 1), (1, 0), False, (0, 1), (1, 2)))
    last = add(ir.Resize("nearest", (0.5, 2.0), None, "half_pixel", "prefer_floor"))
    add(ir.Slice(1, 1, None, 2), last)
    add(ir.Resize("linear", size=(4, 9), coordinates="align_corners"))
    joined = add(ir.Concat(0), nodes[-1].name, nodes[-1].name)
    add(ir.AdaptiveMaxPool2d((4, 9)), joined)
    add(ir.Transpose((1, 2, 0)))
    flat = add(ir.Reshape((12, -1)))
    swapped = add(ir.Transpose((1, 0)), flat)
    add(ir.MatMul(), flat, swapped)
    add(Softmax(1))
    return add(ir.Reduce(str(rng.choice(["mean", "sum", "max", "min"])), (0,), True))


def small_graph():
    """A network of a few hundred bytes that uses every section."""
    rng = np.random.default_rng(4)
    conv, head = Conv2d(1, 4, (3, 3), padding=(1, 1)), Linear(4, 3)
    nodes = (
        Node(
            "conv",
            conv,
            ("x",),
            LatentWeight(latents(rng, conv, 9, 0.7), "3x3"),
            (rng.integers(1, 99, 4) / 64).astype(np.float32),
            rng.normal(size=4).astype(np.float32),
        ),
        Node("pool", GlobalAvgPool(), ("conv",)),
        Node("flat", Flatten(), ("pool",)),
        Node("head", head, ("flat",), DenseWeight(rng.normal(size=(3, 4)).astype(np.float32))),
    )
    decoders = {"3x3": decoder(rng, "3x3", 9)}
    return Graph("x", (1, 8, 8), nodes, ("head",), decoders, meta={"name": "small"})


def _bits(array):
    return None if array is None else (array.dtype, array.shape, array.tobytes())


def _weight_bits(weight):
    if isinstance(weight, LatentWeight):
        return "latent", weight.decoder, _bits(weight.latents)
    return weight and ("dense", _bits(weight.values))


def assert_same(first, second):
    """Equality of two graphs, floats bit for bit."""
    for name in ("input_name", "input_shape", "outputs", "synthetic"):
        assert getattr(first, name) == getattr(second, name)
    assert json.dumps(first.meta, sort_keys=True) == json.dumps(second.meta, sort_keys=True)
    assert list(first.decoders) == list(second.decoders)
    for one, other in zip(first.decoders.values(), second.decoders.values(), strict=True):
        assert (one.name, one.exponent) == (other.name, other.exponent)
        assert _bits(one.matrix) == _bits(other.matrix)
    for a, b in zip(first.nodes, second.nodes, strict=True):
        assert (a.name, a.op, a.inputs) == (b.name, b.op, b.inputs)
        assert _weight_bits(a.weight) == _weight_bits(b.weight), a.name
        assert _bits(a.scale) == _bits(b.scale), a.name
        assert _bits(a.bias) == _bits(b.bias), a.name
