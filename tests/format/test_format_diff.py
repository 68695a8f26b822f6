"""What differs between two files, and whose bytes they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from graphs import random_graph, small_graph

import lilnetx.models
from lilnetx.format import diff_lnx, inspect_lnx, layer_bytes, read_lnx, write_lnx
from lilnetx.format.shares import apportion
from lilnetx.graph.ir import DenseWeight, LatentWeight, Linear, MaxPool2d, Node, Relu


def changed_node(graph, index, **fields):
    nodes = list(graph.nodes)
    nodes[index] = dataclasses.replace(nodes[index], **fields)
    return dataclasses.replace(graph, nodes=tuple(nodes))


@pytest.fixture
def diff_of(tmp_path):
    def diff(*graphs):
        paths = [tmp_path / f"{i}.lnx" for i in range(2)]
        for graph, path in zip(graphs, paths, strict=True):
            write_lnx(graph, path)
        return diff_lnx(*paths)

    return diff


@pytest.mark.parametrize("seed", range(3))
def test_a_file_equals_itself(seed, diff_of):
    """NaN, infinities and minus zero among the side data included."""
    diff = diff_of(random_graph(seed), random_graph(seed))
    assert diff.equal
    assert diff.file_bytes[0] == diff.file_bytes[1]
    sizes = diff.bytes_by_section.values()
    assert tuple(sum(pair[i] for pair in sizes) for i in range(2)) == diff.file_bytes


def test_latents(diff_of):
    before = small_graph()
    weight = before.nodes[0].weight
    latents = weight.latents.copy()
    kernel = np.argmax(latents.any(axis=2))
    latents.reshape(-1, 9)[kernel] = 0
    diff = diff_of(before, changed_node(before, 0, weight=LatentWeight(latents, "3x3")))
    (change,) = diff.weights
    assert (change.name, change.change) == ("conv", "changed")
    assert change.values == (36, 36)
    assert change.values_changed == np.count_nonzero(latents != weight.latents) > 0
    assert change.zero_slices[1] == change.zero_slices[0] + 1
    assert change.slices == (4, 4)
    assert change.coded_bytes[1] < change.coded_bytes[0]
    assert (change.scale_changed, change.bias_changed) == (0, 0)
    assert not diff.equal
    assert (diff.nodes, diff.decoders, diff.meta, diff.network) == ({}, {}, {}, {})


def test_side_data_bit_for_bit(diff_of):
    before = small_graph()
    bias = before.nodes[0].bias.copy()
    bias[1:3] = [0.0, np.nan]
    first = changed_node(before, 0, bias=bias)
    other = bias.copy()
    other[1] = -0.0
    (change,) = diff_of(first, changed_node(before, 0, bias=other)).weights
    assert (change.values_changed, change.scale_changed, change.bias_changed) == (0, 0, 1)
    (change,) = diff_of(first, changed_node(before, 0, scale=None, bias=bias)).weights
    assert (change.scale_changed, change.bias_changed) == (4, 0)


def test_another_way_of_storing(diff_of):
    before = small_graph()
    dense = DenseWeight(before.nodes[0].weight.latents.reshape(4, 1, 3, 3).astype(np.float32))
    diff = diff_of(before, changed_node(before, 0, weight=dense))
    (change,) = diff.weights
    assert change.decoder == ("3x3", None)
    assert change.values_changed == 72
    assert diff.bytes_by_section["LATS"][1] == 0
    assert diff.bytes_by_section["RAWF"][1] == 4 * (36 + 12)


def test_nodes_decoders_and_meta(diff_of):
    before = small_graph()
    head = dataclasses.replace(
        before.nodes[3],
        op=Linear(4, 2),
        weight=DenseWeight(before.nodes[3].weight.values[:2]),
    )
    nodes = (*before.nodes[:1], Node("relu", Relu(), ("conv",)), before.nodes[1])
    nodes += (before.nodes[2], dataclasses.replace(head, name="last"))
    decoder = dataclasses.replace(before.decoders["3x3"], exponent=3)
    after = dataclasses.replace(
        before,
        nodes=nodes,
        outputs=("last",),
        decoders={"3x3": decoder},
        synthetic=True,
        meta={"name": "small", "one": 1},
    )
    diff = diff_of(before, after)
    assert diff.nodes == {"head": "removed", "relu": "added", "last": "added"}
    assert diff.decoders == {"3x3": "changed"}
    assert diff.meta == {"one": "added"}
    assert diff.network == {"outputs": ("head", "last"), "synthetic": ("False", "True")}
    assert {w.name: w.change for w in diff.weights} == {"head": "removed", "last": "added"}
    rewired = changed_node(after, 2, inputs=("relu",))
    assert diff_of(after, rewired).nodes == {"pool": "conv -> relu"}
    operator = diff_of(before, changed_node(before, 1, op=MaxPool2d((8, 8), (1, 1))))
    assert operator.nodes["pool"].startswith("GlobalAvgPool() -> MaxPool2d(kernel=(8, 8)")


def test_the_order_of_nodes(diff_of):
    before = small_graph()
    relus = tuple(Node(name, Relu(), ("conv",)) for name in ("r1", "r2"))
    first = dataclasses.replace(before, nodes=(*before.nodes, *relus))
    second = dataclasses.replace(before, nodes=(*before.nodes, *relus[::-1]))
    assert list(diff_of(first, second).network) == ["order"]


@pytest.mark.parametrize("seed", range(4))
def test_layers_share_their_sections_to_the_last_byte(seed, tmp_path):
    path = tmp_path / "net.lnx"
    write_lnx(random_graph(seed), path)
    check_shares(path)


def test_layers_of_the_shipped_file():
    for path in Path(lilnetx.models.__path__[0]).glob("*.lnx"):
        layers = check_shares(path)
        largest = max(layers, key=lambda layer: layer.latents)
        graph = read_lnx(path)
        nonzero = {
            node.name: np.count_nonzero(node.weight.latents)
            for node in graph.nodes
            if isinstance(node.weight, LatentWeight)
        }
        assert nonzero[largest.name] > np.median(list(nonzero.values()))


def check_shares(path):
    sections = inspect_lnx(path).bytes_by_section
    layers = layer_bytes(read_lnx(path), sections)
    for attribute, section in (("latents", "LATS"), ("dense", "RAWF"), ("side", "SIDE")):
        assert sum(getattr(layer, attribute) for layer in layers) == sections.get(section, 0)
    assert all(min(layer.latents, layer.dense, layer.side) >= 0 for layer in layers)
    assert all(layer.total == layer.latents + layer.dense + layer.side for layer in layers)
    return layers


def test_apportioning():
    assert apportion(10, [1, 1, 1]) == [4, 3, 3]
    assert apportion(7, [0, 2, 5]) == [0, 2, 5]
    assert apportion(1, [1, 3]) == [0, 1]
    assert apportion(0, [2, 2]) == [0, 0]
    assert apportion(0, [0, 0]) == [0, 0]
