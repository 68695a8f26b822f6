"""The one table of cases, by Triton kernels in the interpreter; run by test_triton.py."""

from __future__ import annotations

import cases
import pytest
import table
import torch
from table_runs import compute, error_of, expected_of, inputs
from tolerances import LAYER


@pytest.mark.parametrize("row", table.ROWS, ids=str)
def test_the_table_of_all_backends(row):
    graph = cases.conv_graph(row.case)
    x, residual = inputs(row.case, graph, getattr(torch, row.dtype))
    actual = compute(row.case, graph, row.form, x, residual)
    expected = expected_of(row.case, graph, x, residual)
    assert actual.dtype == x.dtype
    assert actual.shape == expected.shape
    assert error_of(actual, expected) <= LAYER[row.dtype]


@pytest.mark.parametrize("dtype", table.DTYPES)
@pytest.mark.parametrize("form", table.FORMS)
def test_the_tolerances_can_fail(form, dtype):
    """Half of the weights wrong by four tolerances."""
    case = cases.ConvCase(7, 5, (9, 9), padding=(1, 1))
    graph = cases.conv_graph(case)
    x, residual = inputs(case, graph, getattr(torch, dtype))
    expected = expected_of(case, graph, x, residual)
    actual = compute(case, graph, form, x, residual, scale=1 + 4 * LAYER[dtype])
    assert error_of(actual, expected) > LAYER[dtype]
