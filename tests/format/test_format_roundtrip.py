from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from graphs import assert_same, decoder, latents, random_graph, small_graph

from lilnetx.errors import GraphError
from lilnetx.format import read_lnx, verify_lnx, write_lnx
from lilnetx.format.latents import partition
from lilnetx.graph.ir import Conv2d, Decoder, DenseWeight, Graph, LatentWeight, Node, Relu


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs_come_back_bit_for_bit(seed, tmp_path):
    graph = random_graph(seed)
    path = tmp_path / "net.lnx"
    assert write_lnx(graph, path) == path.stat().st_size
    assert_same(read_lnx(path), graph)
    again = tmp_path / "again.lnx"
    write_lnx(read_lnx(str(path)), again)
    assert again.read_bytes() == path.read_bytes()


def test_arrays_are_owned_and_writeable(tmp_path):
    write_lnx(small_graph(), tmp_path / "net.lnx")
    nodes = read_lnx(tmp_path / "net.lnx").nodes
    arrays = [nodes[0].weight.latents, nodes[0].scale, nodes[0].bias, nodes[3].weight.values]
    for array in arrays:
        array += 1


def test_many_streams_and_threads(tmp_path):
    rng = np.random.default_rng(0)
    op = Conv2d(128, 512, (3, 3), padding=(1, 1))
    back = Conv2d(512, 128, (3, 3), padding=(1, 1))
    nodes, source = [], "x"
    for index, each in enumerate([op, back, op, back]):
        weight = LatentWeight(latents(rng, each, 9, 0.02), "3x3")
        nodes.append(Node(f"conv{index}", each, (source,), weight))
        source = f"conv{index}"
    graph = Graph("x", (128, 4, 4), tuple(nodes), (source,), {"3x3": decoder(rng, "3x3", 9)})
    write_lnx(graph, tmp_path / "net.lnx")
    for threads in (None, 1, 3):
        assert_same(read_lnx(tmp_path / "net.lnx", threads=threads), graph)


def test_partition():
    assert partition([]) == []
    assert partition([5], 4) == [1]
    assert partition([2, 2, 1, 4, 4, 3, 1], 4) == [2, 1, 1, 1, 2]


def test_networks_without_weights(tmp_path):
    graph = Graph("x", (3,), (Node("y", Relu(), ("x",)),), ("y", "x", "y"))
    write_lnx(graph, tmp_path / "net.lnx")
    assert_same(read_lnx(tmp_path / "net.lnx"), graph)
    verify_lnx(tmp_path / "net.lnx")


def test_a_decoder_of_zeros(tmp_path):
    graph = Graph("x", (3,), (), ("x",), {"z": Decoder("z", np.zeros((2, 2), np.int32), 0)})
    write_lnx(graph, tmp_path / "net.lnx")
    assert_same(read_lnx(tmp_path / "net.lnx"), graph)


def test_fixed_point_side_data_are_smaller_than_floats(tmp_path):
    rng = np.random.default_rng(0)
    op = Conv2d(1, 512, (3, 3))
    weight = LatentWeight(latents(rng, op, 9, 0.5), "3x3")
    sizes = []
    for bias in (rng.integers(-500, 500, 512) / 1024, rng.normal(size=512)):
        node = Node("conv", op, ("x",), weight, None, bias.astype(np.float32))
        graph = Graph("x", (1, 5, 5), (node,), ("conv",), {"3x3": decoder(rng, "3x3", 9)})
        sizes.append(write_lnx(graph, tmp_path / "net.lnx"))
    assert sizes[1] - sizes[0] > 512 * 2.6


def change(node=None, at=0, **fields):
    """The small graph with other fields, its own or those of the node at a place."""
    graph = small_graph()
    if node is not None:
        nodes = list(graph.nodes)
        nodes[at] = dataclasses.replace(nodes[at], **node)
        fields["nodes"] = tuple(nodes)
    return dataclasses.replace(graph, **fields)


def weight_with(value):
    weight = np.zeros((4, 1, 9), np.int32)
    weight[2, 0, 4] = value
    return LatentWeight(weight, "3x3")


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (change(node={"weight": weight_with(40000)}), "within"),
        (change(node={"weight": weight_with(-32768)}), "within"),
        (change(node={"weight": None}), "needs a weight"),
        (change(node={"weight": LatentWeight(np.zeros((4, 1, 9), np.int32), "5x5")}), "5x5"),
        (change(node={"weight": LatentWeight(np.zeros((4, 2, 9), np.int32), "3x3")}), "shape"),
        (change(node={"weight": LatentWeight(np.zeros((4, 1, 9), np.int64), "3x3")}), "int64"),
        (change(node={"weight": DenseWeight(np.zeros((4, 1, 3, 4), np.float32))}), "shape"),
        (change(node={"scale": np.zeros(5, np.float32)}), "scale"),
        (change(node={"bias": np.zeros(4, np.float64)}), "float64"),
        (change(node={"inputs": ("y",)}), "'y'"),
        (change(node={"inputs": ("x", "x")}), "found 2"),
        (change({"name": "pool"}, at=3, outputs=("pool",)), "name"),
        (change({"name": "n" * 1025}, at=3, outputs=("conv",)), "length of node name"),
        (change({"name": ""}, at=3, outputs=("conv",)), "node name"),
        (change(node={"op": Relu()}), "takes no weight"),
        (change(node={"op": Conv2d(1, 4, (3, 3), stride=(0, 1))}), "stride"),
        (change(node={"op": Conv2d(1, 4, (3, 3), padding=(-1, 1))}), "negative"),
        (change(outputs=("nothing",)), "nothing"),
        (change(outputs=()), "output count"),
        (change(input_shape=(1, 0, 8)), "input dimension"),
        (change(input_shape=(1,) * 7), "rank 7"),
        (change(meta={"x": float("nan")}), "JSON"),
        (change(meta={"x": object()}), "JSON"),
        (change(meta={"x": "y" * (1 << 20)}), "metadata"),
        (change(decoders={"3x3": Decoder("other", np.eye(9, dtype=np.int32), 1)}), "listed"),
        (change(decoders={"3x3": Decoder("3x3", np.eye(9, dtype=np.int64), 1)}), "int32"),
        (change(decoders={"3x3": Decoder("3x3", np.full((9, 9), 32768, np.int32), 1)}), "within"),
        (change(decoders={"3x3": Decoder("3x3", np.eye(9, dtype=np.int32), 127)}), "exponent"),
        (change(decoders={"3x3": Decoder("3x3", np.eye(4, dtype=np.int32), 1)}), "slices of 4"),
    ],
)
def test_what_cannot_be_stored_is_refused(graph, message, tmp_path):
    with pytest.raises(GraphError, match=message):
        write_lnx(graph, tmp_path / "net.lnx")
    assert list(tmp_path.iterdir()) == []
