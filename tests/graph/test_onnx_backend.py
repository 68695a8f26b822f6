"""ONNX's backend interface, and ONNX's own tests of every listed operator."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="runs ONNX models")

from onnx import helper  # noqa: E402
from onnx_nodes import OPERATORS, node_cases, operator, outcome, table  # noqa: E402

from lilnetx import onnx_backend  # noqa: E402
from lilnetx.errors import InputError, UnsupportedOperatorError  # noqa: E402

TABLE = Path(__file__).parents[2] / "benchmarks" / "results" / "onnx_nodes.csv"


def test_node_tests():
    found: dict[str, list[str]] = {}
    for case in node_cases():
        found.setdefault(operator(case), []).append(f"{case.name}: {outcome(case)}")
    assert set(found) <= OPERATORS
    failures = [line for lines in found.values() for line in lines if ": failed" in line]
    assert not failures
    for name, lines in found.items():
        assert any(line.endswith(": passed") for line in lines), name


@pytest.mark.skipif(not TABLE.exists(), reason="the table is in the source folder only")
def test_the_committed_table():
    with TABLE.open() as file:
        committed = list(csv.DictReader(file))
    totals = Counter({key: sum(int(row[key]) for row in committed) for key in ("passed", "failed")})
    now = table()
    # Other versions of onnx have more or fewer tests; none may fail that passed.
    assert totals["failed"] == sum(int(str(row["failed"])) for row in now) == 0
    assert {row["operator"] for row in committed} == {row["operator"] for row in now}
    assert totals["passed"] > 200


def model_of(*nodes, inputs=("x",), opset=17):
    graph = helper.make_graph(
        nodes,
        "test",
        [onnx.ValueInfoProto(name=name) for name in inputs],
        [onnx.ValueInfoProto(name=nodes[-1].output[0])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def test_plans_follow_shapes_and_constants():
    conv = helper.make_node("Conv", ["x", "w"], ["y"])
    rep = onnx_backend.prepare(model_of(conv, inputs=("x", "w")))
    rng = np.random.default_rng(0)
    for shape, kernel in (((2, 3, 5, 6), 3), ((1, 3, 7, 7), 3), ((1, 3, 7, 7), 2)):
        x = rng.normal(size=shape).astype(np.float32)
        w = rng.normal(size=(4, 3, kernel, kernel)).astype(np.float32)
        for weight in (w, 2 * w):
            (y,) = rep.run({"x": x, "w": weight})
            (again,) = rep.run([x, weight])
            (node,) = onnx_backend.run_node(conv, [x, weight])
            assert np.array_equal(y, again)
            assert np.array_equal(y, node)
            patch = (x[0, :, :kernel, :kernel] * weight[1]).sum()
            assert abs(y[0, 1, 0, 0] - patch) < 1e-4


def test_refusals():
    rep = onnx_backend.prepare(model_of(helper.make_node("Relu", ["x"], ["y"])))
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(InputError, match="'x' is missing"):
        rep.run([])
    with pytest.raises(InputError, match="found 2 inputs, expected 1"):
        rep.run([x, x])
    with pytest.raises(UnsupportedOperatorError, match="no input is float32"):
        rep.run([x.astype(np.int64)])
    with pytest.raises(UnsupportedOperatorError, match="is empty"):
        rep.run([x[:0]])
    tanh = onnx_backend.prepare(model_of(helper.make_node("Tanh", ["x"], ["y"])))
    with pytest.raises(UnsupportedOperatorError, match="Tanh is not supported"):
        tanh.run([x])
    with pytest.raises(InputError, match="device 'CUDA'"):
        onnx_backend.prepare(model_of(helper.make_node("Relu", ["x"], ["y"])), "CUDA")
    assert onnx_backend.supports_device("CPU")
    old = model_of(helper.make_node("Relu", ["x"], ["y"]), opset=9)
    assert not onnx_backend.is_compatible(old)
