"""Every convolution of the case table, on every instruction set, against the float64 reference."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CASES, conv_graph
from tolerances import LAYER

from lilnetx.reference import run
from lilnetx.runtime import Session, available_isas


@pytest.mark.parametrize("pointwise", [False, True], ids=["", "packed-rows"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_convolution_matches_reference(case, pointwise):
    graph = conv_graph(case, pointwise=pointwise)
    x = np.random.default_rng(1).normal(size=(2, *graph.input_shape)).astype(np.float32)
    expected = run(graph, x)
    for isa in available_isas():
        for threads in (1, 3):
            session = Session(graph, threads=threads, isa=isa)
            actual = _outputs(session, x)
            for ours, reference in zip(actual, expected, strict=True):
                _check_close(ours, reference, f"{isa}, {threads} threads", session)
            # What the gaps and the rows of zeros hold must survive a run.
            for again, ours in zip(_outputs(session, x), actual, strict=True):
                assert np.array_equal(again, ours)


def _outputs(session, x):
    outputs = session.run(x)
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _check_close(actual, expected, where, session):
    assert actual.dtype == np.float32
    assert actual.shape == expected.shape
    bound = LAYER["float32"] * max(np.abs(expected).max(), 1e-3)
    error = np.abs(actual - expected)
    worst = np.unravel_index(error.argmax(), error.shape)
    assert error.max() <= bound, (
        f"{where}: {actual[worst]} for {expected[worst]} at {worst}\n{session.plan}"
    )


def test_every_kernel_is_in_the_table():
    kernels = set()
    for case in CASES:
        plan = Session(conv_graph(case), threads=1).plan
        kernels |= {step.choice.kernel for step in plan.steps if step.choice}
    expected = {"flat", "flat_blocked", "rows3x3", "rows3x3s2", "direct3x3s2"}
    expected |= {"rows5x5", "rows5x5s2"}
    if "avx512" in available_isas():
        expected |= {"pairs3x3", "pairs3x3s2", "pairs5x5", "pairs5x5s2"}
        expected |= {"winograd3x3", "winograd_pairs3x3", "winograd7x7s2"}
    assert kernels == expected
