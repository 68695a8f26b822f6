"""The common table of convolutions through both forms of the CUDA kernels, in the emulator."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import numpy as np
import pytest
from cases import CASES, ConvCase
from conv_jobs import VARIANTS, Variant, add_job, from_storage, make_problem, relative_error
from emulated import Jobs, Result
from tolerances import LAYER


@lru_cache(maxsize=2)
def run_case(index: int) -> list[Result]:
    """All variants of a case in one process; tiles, orders and copies differ from case to case."""
    jobs = Jobs()
    for variant in VARIANTS:
        problem = make_problem(CASES[index], variant.dtype)
        add_job(
            jobs,
            problem,
            variant,
            tile_runs=(0, 8, 16)[index % 3],
            order=index % 4,
            late_copies=index % 2 == 0,
        )
    return jobs.run()


@pytest.mark.parametrize("variant", range(len(VARIANTS)), ids=lambda i: str(VARIANTS[i]))
@pytest.mark.parametrize("index", range(len(CASES)), ids=lambda i: str(CASES[i]))
def test_case(index: int, variant: int) -> None:
    result = run_case(index)[variant]
    problem = make_problem(CASES[index], VARIANTS[variant].dtype)
    error = relative_error(problem, VARIANTS[variant], result)
    assert error < LAYER[VARIANTS[variant].precision]


# Rows with gaps: aligned where the images' own rows are not, and the other way round.
GAPS = [
    (ConvCase(5, 9, (6, 7), padding=(1, 1), residual=True, activation="relu"), 1),
    (ConvCase(5, 9, (6, 14), padding=(1, 1), residual=True), 2),
    (ConvCase(5, 9, (6, 16), padding=(1, 1)), 3),
    (ConvCase(9, 5, (7, 7), (1, 1), g=4, residual=True), 1),
    (ConvCase(9, 5, (5, 13), (1, 1), activation="relu"), 3),
    (ConvCase(9, 5, (9, 14), (3, 3), (2, 2), (1, 1)), 2),
    (ConvCase(9, 5, (9, 11), (5, 5), (1, 1), (2, 2)), 5),
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize(("case", "gap"), GAPS, ids=str)
def test_rows_with_gaps(case: ConvCase, gap: int, variant: Variant) -> None:
    problem = make_problem(case, variant.dtype)
    jobs = Jobs()
    add_job(jobs, problem, variant, gap=gap)
    (result,) = jobs.run()
    assert relative_error(problem, variant, result, gap) < LAYER[variant.precision]


@pytest.mark.parametrize(
    "activation", ["none", "relu", "relu6", "silu", "hardswish", "hardsigmoid"]
)
def test_nan_stays_nan(activation: str) -> None:
    case = ConvCase(2, 3, (2, 5), padding=(1, 1), density=1.0, activation=activation)
    for variant in VARIANTS[::3]:
        problem = make_problem(case, variant.dtype)
        x = np.full_like(problem.x, 0x7FC0 if variant.dtype == "bfloat16" else np.nan)
        jobs = Jobs()
        add_job(jobs, dataclasses.replace(problem, x=x), variant)
        (result,) = jobs.run()
        assert np.isnan(from_storage(result.values(x.dtype), variant.dtype)).all()


def refuse(**changes: object) -> str:
    """The message for the first case of the table with something changed."""
    problem = make_problem(dataclasses.replace(CASES[0], activation="none"), "float32")
    jobs = Jobs()
    add_job(jobs, problem, VARIANTS[0], **changes)  # type: ignore[arg-type]
    (result,) = jobs.run()
    assert not result.output
    return result.error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"numbers": {0: 0}}, "no elements"),
        ({"numbers": {5: 2}}, "groups must divide"),
        ({"numbers": {8: 0}}, "must be positive"),
        ({"numbers": {10: -1}}, "must not be negative"),
        ({"numbers": {6: 9}}, "leaves no pixel"),
        ({"numbers": {17: 0, 2: 2}}, "rows overlap"),
        ({"numbers": {0: (1 << 30) + 1}}, "2^30 pixels"),
        ({"numbers": {14: 2}}, "in 1x1 kernels only"),
        ({"activation": "clip"}, "not fused"),
    ],
)
def test_wrong_arguments(changes: dict[str, object], message: str) -> None:
    assert message in refuse(**changes)


def test_a_window_too_large_for_form_b_is_refused() -> None:
    case = ConvCase(3, 2, (70, 70), (3, 3), padding=(30, 30), dilation=(30, 60))
    jobs = Jobs()
    for variant in (VARIANTS[0], VARIANTS[3]):
        add_job(jobs, make_problem(case, "float32"), variant)
    lists, blocks = jobs.run()
    assert relative_error(make_problem(case, "float32"), VARIANTS[0], lists) < LAYER["float32"]
    assert "use form (a)" in blocks.error
