from __future__ import annotations

import dataclasses
import json

import pytest
from graphs import random_graph, small_graph

from lilnetx.errors import CorruptSectionError
from lilnetx.format import inspect_lnx, verify_lnx, write_lnx
from lilnetx.graph.cost import layer_stats
from lilnetx.graph.ir import ChannelAffine, Constant, MaxPool2d, Node
from lilnetx.graph.weights import is_pointwise


@pytest.mark.parametrize("seed", range(6))
def test_it_agrees_with_the_graph(seed, tmp_path):
    graph = random_graph(seed)
    size = write_lnx(graph, tmp_path / "net.lnx")
    summary = inspect_lnx(tmp_path / "net.lnx")
    stats = layer_stats(graph)
    assert summary.file_bytes == size == sum(summary.bytes_by_section.values())
    assert summary.version == 3
    assert summary.synthetic == graph.synthetic
    assert summary.input_shape == graph.input_shape
    assert json.dumps(summary.meta, sort_keys=True) == json.dumps(graph.meta, sort_keys=True)
    biases = sum(node.bias.size for node in graph.nodes if node.bias is not None)
    scales = sum(node.scale.size for node in graph.nodes if isinstance(node.op, ChannelAffine))
    constants = sum(n.weight.values.size for n in graph.nodes if isinstance(n.op, Constant))
    layers = sum(layer.parameters for layer in stats)
    assert summary.parameters == layers + biases + scales + constants
    assert summary.dense_fp32_bytes == 4 * summary.parameters
    assert summary.macs == sum(layer.macs for layer in stats)
    assert len(summary.layers) == len(stats)
    for row, stat in zip(summary.layers, stats, strict=True):
        assert (row.name, row.op, row.macs) == (stat.name, stat.op, stat.macs)
        assert (row.slices, row.zero_slices) == (stat.slices, stat.zero_slices)
        if row.shape[1] % stat.slice_length == 0 or not is_pointwise(graph.node(row.name).op):
            assert row.macs_left == stat.macs_left
        else:  # How many of the nonzero slices are last ones, with fewer channels, is not known.
            assert stat.macs_left <= row.macs_left <= row.macs
    pointwise = [s for s in stats if is_pointwise(graph.node(s.name).op)]
    assert summary.slices_1x1 == sum(s.slices for s in pointwise)
    assert summary.zero_slices_1x1 == sum(s.zero_slices for s in pointwise)
    assert summary.slices_kxk == sum(s.slices for s in stats) - summary.slices_1x1
    zero = sum(s.zero_slices for s in stats)
    assert summary.zero_slices_kxk == zero - summary.zero_slices_1x1


def test_no_weight_is_read(tmp_path):
    write_lnx(small_graph(), tmp_path / "net.lnx")
    whole = inspect_lnx(tmp_path / "net.lnx")
    data = bytearray((tmp_path / "net.lnx").read_bytes())
    at = data.index(small_graph().nodes[3].weight.values.tobytes())
    data[at] ^= 1
    (tmp_path / "net.lnx").write_bytes(data)
    assert inspect_lnx(tmp_path / "net.lnx") == whole


def test_verify_checks_shapes(tmp_path):
    graph = small_graph()
    pool = Node("pool", MaxPool2d((2, 2), (2, 2)), ("conv",))
    nodes = (graph.nodes[0], pool, *graph.nodes[2:])
    write_lnx(dataclasses.replace(graph, nodes=nodes), tmp_path / "net.lnx")
    for check in (verify_lnx, inspect_lnx):
        with pytest.raises(CorruptSectionError, match=r"net\.lnx: GRPH: .*head"):
            check(tmp_path / "net.lnx")
    write_lnx(graph, tmp_path / "net.lnx")
    verify_lnx(tmp_path / "net.lnx")
