"""The dense ONNX model of every test network gives in ONNX Runtime what a session gives."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

onnxruntime = pytest.importorskip("onnxruntime", reason="runs ONNX models")
pytest.importorskip("onnx", reason="builds ONNX models")

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("format", "runtime")]

from cases import ACTIVATION_OPS, CASES, conv_graph  # noqa: E402
from graphs import random_graph, small_graph  # noqa: E402
from random_networks import POOLS, pool_network, residual_network, wide_network  # noqa: E402

import lilnetx.models  # noqa: E402
from lilnetx.format import read_lnx  # noqa: E402
from lilnetx.graph.ir import Graph, Node, Softmax  # noqa: E402
from lilnetx.graph.to_onnx import to_onnx  # noqa: E402
from lilnetx.graph.zoo import ARCHITECTURES  # noqa: E402
from lilnetx.packing.synth import synth  # noqa: E402
from lilnetx.runtime import Session  # noqa: E402

TOLERANCE = 1e-4  # of the largest output


def run_onnx(graph: Graph, x: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = to_onnx(graph).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    assert [output.name.split("/output")[0] for output in session.get_outputs()] == [*graph.outputs]
    return session.run(None, {session.get_inputs()[0].name: x})


def check(graph: Graph, batch: int = 2) -> None:
    x = np.random.default_rng(7).standard_normal((batch, *graph.input_shape)).astype(np.float32)
    ours = Session(graph, threads=1, tune=False).run(x)
    ours = ours if isinstance(ours, tuple) else (ours,)
    theirs = run_onnx(graph, x)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        assert np.isfinite(a).all()
        error = np.abs(a - b).max() / max(np.abs(b).max(), 1e-3)
        assert error <= TOLERANCE, f"relative error {error:.3g}"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_convolution(case):
    check(conv_graph(case))


@pytest.mark.parametrize("size", [(4, 5), (7, 7), (13, 33)], ids=str)
@pytest.mark.parametrize("op", POOLS, ids=str)
def test_pooling(op, size):
    check(pool_network(size, op))


@pytest.mark.parametrize("name", ACTIVATION_OPS)
def test_activation(name):
    for shape in ((5,), (3, 5, 6)):
        check(Graph("x", shape, (Node("y", ACTIVATION_OPS[name](), ("x",)),), ("y",)))


def test_softmax():
    check(Graph("x", (37,), (Node("y", Softmax(), ("x",)),), ("y",)))


@pytest.mark.parametrize("seed", range(4))
def test_residual_network(seed):
    check(residual_network(seed))


def test_wide_network():
    check(wide_network())


def finite_side(graph: Graph) -> Graph:
    """Without the scales and biases that are there for the file format: infinities and the like."""
    import dataclasses

    def tamed(values):
        return None if values is None else np.clip(np.nan_to_num(values), -2.0, 2.0)

    nodes = [
        dataclasses.replace(node, scale=tamed(node.scale), bias=tamed(node.bias))
        for node in graph.nodes
    ]
    return dataclasses.replace(graph, nodes=tuple(nodes))


@pytest.mark.parametrize("seed", range(6))
def test_network_of_the_format(seed):
    check(finite_side(random_graph(seed)))


def test_small_network():
    check(small_graph())


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_zoo(name):
    check(synth(name, density=0.3, slice_1x1=4, input_shape=(3, 64, 64)), batch=1)


@pytest.mark.parametrize("path", sorted(Path(lilnetx.models.__path__[0]).glob("*.lnx")), ids=str)
def test_shipped_model(path):
    check(read_lnx(path), batch=16)


def test_every_torch_network():
    pytest.importorskip("torch", reason="imports torch models")
    import torch_networks

    from lilnetx.graph.from_torch import from_torch

    for name in torch_networks.NETWORKS:
        network = torch_networks.build(name)
        check(from_torch(network, network.shape), batch=3)
