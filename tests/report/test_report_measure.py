"""What a report's times are of: the dense twin, and networks that other engines cannot be given."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lilnetx.errors import OutOfMemoryError, UsageError
from lilnetx.format import read_lnx, write_lnx
from lilnetx.graph.cost import layer_stats
from lilnetx.graph.ir import Add, Conv2d, DenseWeight, Graph, Node, Weighted
from lilnetx.graph.weights import dense_weight
from lilnetx.report import MeasureOptions, measure
from lilnetx.report.measuring import TWIN, dense_twin
from lilnetx.runtime import Session

SHORT = MeasureOptions(seconds=0.01, against=())


def two_inputs() -> Graph:
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    weight[:2] = 0
    conv = Node("c", Conv2d(3, 4, (3, 3), padding=(1, 1)), ("a",), DenseWeight(weight))
    # An output may have the name that a drawing would give it.
    nodes = (conv, Node("output 0 c", Add(), ("c", "b")))
    return Graph("a", (3, 8, 8), nodes, ("c", "output 0 c"), more_inputs={"b": (4, 8, 8)})


def test_the_twin_has_no_zero_and_keeps_what_was_there(synthetic_lnx):
    graph = read_lnx(synthetic_lnx)
    # A filter whose scale is zero is left out by a session, too.
    first = graph.nodes[0]
    scale = np.ones(first.op.out_channels, np.float32)
    scale[3] = 0
    nodes = (dataclasses.replace(first, scale=scale), *graph.nodes[1:])
    graph = dataclasses.replace(graph, nodes=nodes)
    twin = dense_twin(graph)
    for before, after in zip(graph.nodes, twin.nodes, strict=True):
        if not isinstance(before.op, Weighted):
            assert after is before
            continue
        old, new = dense_weight(graph, before), dense_weight(twin, after)
        assert new.all()
        np.testing.assert_array_equal(new[old != 0], old[old != 0])
        if (old == 0).any() and old.any():
            assert abs(new[old == 0]).max() < 0.1 * np.sqrt(np.mean(old[old != 0] ** 2))
    assert all(layer.zero_slices == 0 for layer in layer_stats(twin))
    assert Session(twin, threads=1, tune=False).plan.removal.removed_channels == 0


def test_every_step_has_a_time_and_one_of_its_twin(synthetic_lnx):
    seen = []
    found = measure(synthetic_lnx, SHORT, on_progress=lambda stage, done: seen.append(done))
    assert [row.name for row in found.networks] == ["lilnetx", TWIN]
    steps = Session(synthetic_lnx, threads=1).plan.steps
    assert [(step.name, step.op) for step in found.steps] == [(s.name, s.op) for s in steps]
    assert all(step.ms > 0 and step.dense_ms > 0 for step in found.steps)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_several_inputs_and_outputs(tmp_path):
    path = tmp_path / "two.lnx"
    write_lnx(two_inputs(), path)
    default = measure(path, dataclasses.replace(SHORT, against=None))
    assert [row.name for row in default.networks] == ["lilnetx", TWIN]
    pytest.importorskip("onnxruntime", reason="an engine that is asked for")
    with pytest.raises(UsageError, match=r"takes 2 inputs.*--against none"):
        measure(path, dataclasses.replace(SHORT, against=("onnxruntime",)))


def test_a_twin_that_does_not_fit_says_how_to_go_on(synthetic_lnx, monkeypatch):
    def too_large(graph, seed):
        raise MemoryError

    monkeypatch.setattr("lilnetx.report.measuring.dense_twin", too_large)
    with pytest.raises(OutOfMemoryError, match="--no-time"):
        measure(synthetic_lnx, SHORT)
