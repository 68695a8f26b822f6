"""The common table of convolutions through both forms of the CUDA kernels, in the emulator."""

from __future__ import annotations

from functools import lru_cache

import pytest
from cases import CASES, ConvCase
from conv_jobs import VARIANTS, Variant, add_job, make_problem, relative_error
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
