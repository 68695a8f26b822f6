"""Every operator of operator_cases.py against the float64 reference, also through a file."""

from __future__ import annotations

import numpy as np
import pytest
from operator_cases import CASES, case_id, operator_graph
from tolerances import LAYER

from lilnetx.format import read_lnx, write_lnx
from lilnetx.format.op_bytes import OP_TYPES
from lilnetx.graph import ir
from lilnetx.reference import run
from lilnetx.runtime import Session, available_isas


def inputs_of(graph, batch, seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(size=(batch, *shape)).astype(np.float32)
        for name, shape in graph.inputs.items()
    }


def assert_near(actual, expected):
    assert actual.shape == expected.shape
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    largest = np.abs(expected[finite]).max()
    assert np.abs(actual[finite] - expected[finite]).max() <= LAYER["float32"] * largest


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_operator(case, tmp_path):
    graph = operator_graph(*case)
    x = inputs_of(graph, 3)
    expected = run(graph, x)
    write_lnx(graph, tmp_path / "op.lnx")
    assert [node.op for node in read_lnx(tmp_path / "op.lnx").nodes] == [n.op for n in graph.nodes]
    for isa in available_isas():
        alone = Session(tmp_path / "op.lnx", threads=1, isa=isa).run(x)
        for a, e in zip(alone, expected, strict=True):
            assert_near(a, e)
        shared = Session(graph, threads=2, isa=isa)
        for batch in (1, 3):
            some = {name: values[:batch] for name, values in x.items()}
            for a, e in zip(shared.run(some), alone, strict=True):
                np.testing.assert_array_equal(a, e[:batch])


def test_every_operator_has_a_case():
    elsewhere = {ir.Conv2d, ir.GlobalAvgPool, ir.Relu, ir.Relu6, ir.HardSwish, ir.Silu}
    elsewhere |= {ir.HardSigmoid, ir.Sigmoid}
    assert {type(op) for op, _ in CASES} | elsewhere == set(OP_TYPES)


@pytest.mark.parametrize("shape", [(5,), (5, 7, 9), (5, 6)], ids=str)
def test_activations_join_scales_and_shifts(shape):
    rng = np.random.default_rng(0)
    scale, bias = (rng.normal(size=5).astype(np.float32) for _ in range(2))
    nodes = (
        ir.Node("affine", ir.ChannelAffine(5), ("x",), None, scale, bias),
        ir.Node("relu", ir.Relu(), ("affine",)),
    )
    graph = ir.Graph("x", shape, nodes, ("relu",))
    x = inputs_of(graph, 3)
    for isa in available_isas():
        session = Session(graph, threads=1, isa=isa)
        assert [step.activation for step in session.plan.steps[1:-1]] == ["relu"]
        assert_near(session.run(x), run(graph, x)[0])
