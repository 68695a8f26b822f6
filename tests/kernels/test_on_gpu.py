"""The table of cases by Triton's kernels on a GPU."""

from __future__ import annotations

import importlib.util

import pytest
import table
from tolerances import LAYER

MISSING = [name for name in ("torch", "triton") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]
# Each row compiles a kernel: a third of them fits into gpu-check's time.
ROWS = table.ROWS if table.EVERYTHING else table.ROWS[::3]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_table_on_a_gpu(row):
    import cases
    import torch
    from table_runs import compute, error_of, expected_of, inputs

    graph = cases.conv_graph(row.case)
    x, residual = inputs(row.case, graph, getattr(torch, row.dtype))
    expected = expected_of(row.case, graph, x, residual)
    moved = None if residual is None else residual.cuda()
    actual = compute(row.case, graph, row.form, x.cuda(), moved)
    assert actual.shape == expected.shape
    # TF32 in three parts keeps a little less than float32.
    assert error_of(actual, expected) <= (2 if row.dtype == "float32" else 1) * LAYER[row.dtype]
