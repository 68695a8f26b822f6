"""Tiny convolutions, for ThreadSanitizer: it sees threads that barriers alone order."""

from __future__ import annotations

import pytest
from cases import ConvCase
from conv_jobs import VARIANTS, Variant, add_job, make_problem, relative_error
from emulated import Jobs
from tolerances import LAYER

TINY = [
    ConvCase(3, 5, (4, 6), padding=(1, 1), residual=True, activation="relu"),
    ConvCase(33, 3, (3, 3), padding=(1, 1)),
    ConvCase(5, 2, (5, 4), (2, 3), (2, 1), (1, 0)),
    ConvCase(19, 5, (3, 4), (1, 1), g=4, activation="silu"),
    ConvCase(4, 4, (4, 4), padding=(1, 1), groups=4),
    ConvCase(3, 2, (4, 4), padding=(1, 1), density=0.0),
    ConvCase(3, 2, (4, 4), padding=(1, 1), activation="gelu"),
    ConvCase(3, 2, (4, 4), (1, 1), activation="gelutanh"),
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("case", TINY, ids=str)
def test_tiny_case(case: ConvCase, variant: Variant) -> None:
    problem = make_problem(case, variant.dtype)
    jobs = Jobs()
    for order in range(3):
        add_job(jobs, problem, variant, order=order, late_copies=order != 1)
    for result in jobs.run():
        assert relative_error(problem, variant, result) < LAYER[variant.precision]
