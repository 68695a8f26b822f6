"""Every operator of operator_cases.py as torch and as ONNX calls, against the float64 reference."""

from __future__ import annotations

import numpy as np
import pytest
from operator_cases import CASES, case_id, operator_graph

from lilnetx.graph import ir
from lilnetx.graph.to_onnx import to_onnx
from lilnetx.graph.to_torch import to_torch
from lilnetx.reference import run

torch = pytest.importorskip("torch", reason="builds torch models")

TOLERANCE = 1e-5  # of the largest output: float32 against float64


def inputs_of(graph, batch=2):
    rng = np.random.default_rng(4)
    return {
        name: rng.normal(size=(batch, *shape)).astype(np.float32)
        for name, shape in graph.inputs.items()
    }


def assert_close(actual, expected):
    for a, e in zip(actual, expected, strict=True):
        a = np.asarray(a)
        assert a.shape == e.shape
        finite = np.isfinite(e)
        np.testing.assert_array_equal(a[~finite], e[~finite])
        assert np.abs(a[finite] - e[finite]).max() <= TOLERANCE * np.abs(e[finite]).max()


@pytest.mark.parametrize("case", CASES, ids=case_id)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_torch(case):
    graph = operator_graph(*case)
    x = inputs_of(graph)
    with torch.no_grad():
        actual = to_torch(graph)(*(torch.from_numpy(values) for values in x.values()))
    assert_close(actual, run(graph, x))


@pytest.mark.parametrize("case", CASES, ids=case_id)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_onnx(case):
    pytest.importorskip("onnx", reason="builds ONNX models")
    ort = pytest.importorskip("onnxruntime", reason="runs ONNX models")
    op, _ = case
    graph = operator_graph(*case)
    x = inputs_of(graph)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    dilated = isinstance(op, ir.AvgPool2d) and op.dilation != (1, 1)
    model = to_onnx(graph, opset=19 if dilated else 17).SerializeToString()
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    assert_close(session.run(None, x), run(graph, x))
