"""From a file to a session: the same outputs as from its graph, and little memory on the way."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import resources

import numpy as np
import pytest
from cases import CASES, conv_graph
from random_networks import residual_network, wide_network

from lilnetx.errors import ChecksumError, FileChangedError, GraphError
from lilnetx.format import read_lnx, write_lnx
from lilnetx.format.reader import read_packed
from lilnetx.graph.ir import Conv2d, DenseWeight, Graph, LatentWeight, Linear, Node
from lilnetx.packing.synth import synth
from lilnetx.runtime import Session
from lilnetx.runtime.packed import pack_weight, unpack_slices


def networks():
    yield "residual", lambda: residual_network(0)
    yield "wide", wide_network
    yield "groups", lambda: conv_graph(next(c for c in CASES if c.groups == 3))
    yield "nothing left", lambda: conv_graph(next(c for c in CASES if c.density == 0.0))
    yield (
        "quads",
        lambda: synth("resnet20", density=0.3, slice_1x1=4, seed=1, input_shape=(3, 16, 16)),
    )


@pytest.fixture(params=networks(), ids=lambda pair: pair[0])
def network(request, tmp_path):
    graph = request.param[1]()
    write_lnx(graph, tmp_path / "net.lnx")
    return graph, tmp_path / "net.lnx"


def outputs_of(session, x):
    found = session.run(x)
    return found if isinstance(found, tuple) else (found,)


@pytest.mark.parametrize("threads", [1, 3])
def test_file_and_graph_give_the_same_bits(network, threads):
    graph, path = network
    x = np.random.default_rng(0).normal(size=(2, *graph.input_shape)).astype(np.float32)
    by_file, by_graph = (Session(s, threads=threads) for s in (path, read_lnx(path)))
    assert by_file.plan == by_graph.plan
    assert by_file.weight_bytes == by_graph.weight_bytes > 0
    assert by_file.arena_bytes == by_graph.arena_bytes >= 4 * by_file.plan.arena_floats
    assert by_file.input_shape == by_graph.input_shape
    for a, b in zip(outputs_of(by_file, x), outputs_of(by_graph, x), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("threads", [1, 4])
def test_packed_weights_are_those_of_the_graph(network, threads):
    _, path = network
    packed = read_packed(path, threads=threads)
    stored = read_lnx(path)
    weighted = [node for node in stored.nodes if node.weight is not None]
    assert packed.weights.keys() == {node.name for node in weighted}
    for node in weighted:
        mine = packed.graph.node(node.name)
        for name in ("scale", "bias"):
            assert np.array_equal(getattr(mine, name), getattr(node, name))
        found = unpack_slices(packed.weights[node.name], mine.scale)
        expected = unpack_slices(pack_weight(stored, node), node.scale)
        assert found.shape == expected.shape
        for name in ("filter_ptr", "channel", "values"):
            assert np.array_equal(getattr(found, name), getattr(expected, name))


def test_the_shipped_model_loads_alike():
    with resources.as_file(
        resources.files("lilnetx.models") / "resnet20-fashion-mnist.lnx"
    ) as path:
        session, graph = Session(path, threads=1), read_lnx(path)
    x = np.random.default_rng(0).normal(size=(1, *graph.input_shape)).astype(np.float32)
    assert np.array_equal(session.run(x), Session(graph, threads=1).run(x))


def test_the_graph_of_a_file_is_read_when_asked_for(network):
    graph, path = network
    session = Session(path, threads=1)
    loaded = session.graph
    assert loaded is session.graph
    for mine, node in zip(loaded.nodes, graph.nodes, strict=True):
        assert mine.name == node.name
        if isinstance(node.weight, LatentWeight):
            assert isinstance(mine.weight, LatentWeight)
            assert np.array_equal(mine.weight.latents, node.weight.latents)


def test_a_file_that_changed_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_lnx(residual_network(0), "net.lnx")
    session = Session("net.lnx", threads=1)
    write_lnx(residual_network(1), "net.lnx")
    monkeypatch.chdir("/")
    with pytest.raises(FileChangedError, match=r"net\.lnx: the file has changed"):
        session.graph  # noqa: B018


def test_damage_is_named_by_a_session(network):
    _, path = network
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ChecksumError, match=r"net\.lnx"):
        Session(path)


def test_more_slices_than_16_bits_can_number():
    rng = np.random.default_rng(0)
    weight = (rng.random((3, 70000)) < 0.01).astype(np.float32) * 0.5
    node = Node("fc", Linear(70000, 3), ("x",), DenseWeight(weight))
    graph = Graph("x", (70000,), (node,), ("fc",))
    x = rng.integers(-2, 3, (1, 70000)).astype(np.float32)
    assert np.array_equal(Session(graph, threads=1).run(x), x @ weight.T)
    packed = unpack_slices(pack_weight(graph, node), None)
    assert packed.channel.dtype == np.uint32
    assert packed.channel.tolist() == np.nonzero(weight)[1].tolist()


def test_latents_beyond_16_bits_are_refused():
    graph = conv_graph(CASES[0])
    node = graph.node("conv")
    node.weight.latents[0, 0, 0] = 32768
    with pytest.raises(GraphError, match=r"'conv': latents must be within"):
        Session(graph)


def sparse_file(path, layers=24, channels=256):
    """3x3 layers with few slices: ``layers * channels**2 * 36`` bytes as dense int32."""
    rng = np.random.default_rng(0)
    graph = conv_graph(CASES[0])
    nodes, source = [], "x"
    for i in range(layers):
        latents = np.zeros((channels, channels, 9), np.int32)
        places = rng.integers(0, channels, (2, 200))
        latents[places[0], places[1], 4] = 1
        op = Conv2d(channels, channels, (3, 3), padding=(1, 1))
        nodes.append(Node(f"conv{i}", op, (source,), LatentWeight(latents, "d")))
        source = f"conv{i}"
    write_lnx(Graph("x", (channels, 8, 8), tuple(nodes), (source,), graph.decoders), path)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads memory use from /proc")
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="sanitizers use memory too")
def test_no_dense_copy_of_a_network(tmp_path):
    sparse_file(tmp_path / "net.lnx")
    code = """
import sys
import numpy, lilnetx.runtime, lilnetx.format.reader
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
before = peak()
lilnetx.runtime.Session(sys.argv[1], threads=1)
print(peak() - before)
"""
    result = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "net.lnx"],
        env=os.environ,
        check=True,
        capture_output=True,
        text=True,
    )
    dense_kib = 24 * 256 * 256 * 9 * 4 // 1024
    assert int(result.stdout) < dense_kib / 4
