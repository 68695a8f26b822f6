"""Whole networks against the float64 reference: all operators, batches, threads, memory reuse."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from cases import ACTIVATION_OPS
from random_networks import POOLS, pool_network, residual_network, wide_network
from tolerances import LAYER, NETWORK

from lilnetx.graph.ir import (
    Add,
    DenseWeight,
    Flatten,
    GlobalAvgPool,
    Graph,
    HardSwish,
    Linear,
    Node,
    Relu,
    Relu6,
    Silu,
    Softmax,
)
from lilnetx.reference import run
from lilnetx.runtime import Session, available_isas


def images(graph: Graph, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *graph.input_shape)).astype(np.float32)


def assert_near(actual, expected, bound):
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= bound * np.abs(expected).max()


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("seed", range(4))
def test_residual_networks(isa, seed):
    graph = residual_network(seed, size=[(30, 27), (57, 33), (64, 64), (112, 20)][seed])
    x = images(graph, 17)
    expected = run(graph, x)
    for threads in (1, 2):
        session = Session(graph, threads=threads, isa=isa)
        for batch in (1, 2, 5, 17):
            actual = session.run(x[:batch])
            assert isinstance(actual, tuple)
            for a, e in zip(actual, expected, strict=True):
                assert_near(a, e[:batch], NETWORK["float32"])


@pytest.mark.parametrize("op", POOLS, ids=lambda op: type(op).__name__)
@pytest.mark.parametrize("size", [(4, 5), (7, 7), (8, 16), (13, 33), (28, 28)], ids=str)
def test_pooling(size, op):
    graph = pool_network(size, op)
    x = images(graph, 2)
    expected = run(graph, x)[0]
    for isa in available_isas():
        for threads in (1, 3):
            assert_near(Session(graph, threads=threads, isa=isa).run(x), expected, LAYER["float32"])


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize(
    "shape", [(1,), (7,), (16,), (37,), (3, 5, 6), (5, 1, 1), (9, 7, 7)], ids=str
)
def test_operators_without_weights(isa, shape):
    ops = [Node("relu", Relu(), ("x",)), Node("sum", Add(), ("relu", "x"))]
    ops.append(Node("sum2", Add(), ("sum", "sum")))
    outputs = ["relu", "sum2", "x"]
    if len(shape) == 1:
        ops.append(Node("softmax", Softmax(), ("sum2",)))
        outputs.append("softmax")
    else:
        ops += [Node("gap", GlobalAvgPool(), ("sum2",)), Node("flat", Flatten(), ("sum2",))]
        ops.append(Node("softmax", Softmax(), ("flat",)))
        outputs += ["gap", "flat", "softmax"]
    graph = Graph("x", shape, tuple(ops), tuple(outputs))
    x = images(graph, 3)
    actual = Session(graph, threads=1, isa=isa).run(x)
    for a, e in zip(actual, run(graph, x), strict=True):
        assert_near(a, e, LAYER["float32"])


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("name", ACTIVATION_OPS)
@pytest.mark.parametrize("shape", [(5,), (48,), (3, 5, 6), (2, 1, 1), (4, 9, 17)], ids=str)
def test_activations(isa, name, shape):
    """Alone and behind an addition; what lies beside the pixels stays zero."""
    op = ACTIVATION_OPS[name]()
    nodes = [Node("alone", op, ("x",)), Node("sum", Add(), ("x", "alone")), Node("y", op, ("sum",))]
    outputs = ["alone", "y"]
    if len(shape) == 3:
        nodes.append(Node("mean", GlobalAvgPool(), ("y",)))
        outputs.append("mean")
    graph = Graph("x", shape, tuple(nodes), tuple(outputs))
    x = 3 * images(graph, 3)
    for threads in (1, 3):
        actual = Session(graph, threads=threads, isa=isa).run(x)
        for a, e in zip(actual, run(graph, x), strict=True):
            assert_near(a, e, LAYER["float32"])


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("name", ACTIVATION_OPS)
def test_accuracy_of_activations(isa, name):
    """Within 4 units in the last place, whatever the magnitude, where the result is normal."""
    far = np.geomspace(1e-30, 86, 40000)
    x = np.concatenate([-far, [0.0], far, np.linspace(-20, 20, 40001)]).astype(np.float32)
    graph = Graph("x", (x.size,), (Node("y", ACTIVATION_OPS[name](), ("x",)),), ("y",))
    session = Session(graph, threads=1, isa=isa)
    expected = run(graph, x[None])[0]
    error = np.abs(session.run(x[None]) - expected)
    # x + 3 of the hard forms is rounded: near -3 that is absolute, not relative.
    absolute = 3 * 2.0**-24 if name.startswith("hard") else 0.0
    if name.startswith("gelu"):
        # The tail's exponent is a square: its rounding counts where the result is next to nothing.
        absolute = 2.0**-22 * np.abs(x)
    assert (error <= 4 * 2.0**-23 * np.abs(expected) + absolute).all()
    limits = np.array([np.inf, -1e38, 1e30, -1e30, -100, 100, np.nan], np.float32)
    graph = Graph("x", (7,), graph.nodes, ("y",))
    y = Session(graph, threads=1, isa=isa).run(limits[None])[0]
    assert np.isnan(y[6])
    with np.errstate(invalid="ignore"):
        ends = run(graph, limits[None])[0][0]
    known = np.isfinite(ends)
    assert np.allclose(y[known], ends[known], rtol=4 * 2.0**-23, atol=2e-36)


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (3, 10), (64, 9), (1030, 33)])
def test_linear(isa, density, inputs, outputs):
    rng = np.random.default_rng(inputs)
    weight = rng.normal(0, 1 / np.sqrt(inputs), (outputs, inputs))
    weight = (weight * (rng.random(weight.shape) < density)).astype(np.float32)
    bias = rng.normal(size=outputs).astype(np.float32)
    fc = Node("fc", Linear(inputs, outputs), ("x",), DenseWeight(weight), None, bias)
    for op in (Relu(), Relu6(), HardSwish(), Silu()):
        graph = Graph("x", (inputs,), (fc, Node("y", op, ("fc",))), ("y",))
        x = images(graph, 3)
        expected = run(graph, x)[0]
        for threads in (1, 2):
            actual = Session(graph, threads=threads, isa=isa).run(x)
            assert np.abs(actual - expected).max() <= LAYER["float32"] * max(expected.max(), 1.0)


@pytest.mark.parametrize("isa", available_isas())
def test_layers_shared_by_threads(isa):
    graph = wide_network()
    x = images(graph, 2)
    expected = Session(graph, threads=1, isa=isa).run(x)
    for a, e in zip(expected, run(graph, x), strict=True):
        assert_near(a, e, NETWORK["float32"])
    for threads in (2, 3, 5):
        session = Session(graph, threads=threads, isa=isa)
        for _ in range(10):
            for a, e in zip(session.run(x[:1]), expected, strict=True):
                assert np.array_equal(a, e[:1])
        for a, e in zip(session.run(x), expected, strict=True):
            assert np.array_equal(a, e)


def test_empty_batch():
    graph = residual_network(0)
    outputs = Session(graph, threads=2).run(images(graph, 0))
    assert [o.shape for o in outputs] == [(0, 5), (0, 5), (0, 17, 2, 2)]


def test_runs_are_independent():
    graph = residual_network(1)
    session = Session(graph, threads=2)
    a, b = images(graph, 1, 1), images(graph, 1, 2) * 100
    first = session.run(a)
    session.run(b)
    for again, before in zip(session.run(a), first, strict=True):
        assert np.array_equal(again, before)


@pytest.mark.parametrize("threads", [1, 2])
def test_session_is_shared_by_threads(threads):
    graph = residual_network(2)
    session = Session(graph, threads=threads)
    inputs = [images(graph, 1 + i % 3, i) for i in range(8)]
    expected = [session.run(x) for x in inputs]
    failures = []

    def work(offset: int) -> None:
        for i in range(40):
            k = (i + offset) % len(inputs)
            for a, e in zip(session.run(inputs[k]), expected[k], strict=True):
                if not np.array_equal(a, e):
                    failures.append(k)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert not failures
