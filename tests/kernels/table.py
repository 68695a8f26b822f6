"""The table of all backends (tests/cases.py) as it is run in Triton's interpreter."""

from __future__ import annotations

import os
from dataclasses import dataclass

from cases import CASES, ConvCase

FORMS = ("gathered", "union")
DTYPES = ("float32", "float16", "bfloat16")
# Everything, by `make kernels`; else each case in one form and dtype, by turns.
EVERYTHING = os.environ.get("LILNETX_ALL_KERNEL_CASES") == "1"
# The interpreter evaluates one by one the taps of form (a), and the blocks of form (b), of which
# there is one for each group: with more of them a case takes its turn in the other form.
MOST_STEPS = 1500
MOST_GROUPS = 16


@dataclass(frozen=True)
class Row:
    case: ConvCase
    form: str
    dtype: str

    def __str__(self) -> str:
        return f"{self.case}-{self.form}-{self.dtype}"


def steps(case: ConvCase) -> float:
    """Slices times taps that form (a) evaluates, all filters together."""
    taps = case.kernel[0] * case.kernel[1] * case.channels // case.groups
    return case.filters * taps * case.density


def rows() -> list[Row]:
    found = []
    for i, case in enumerate(CASES):
        ways = [(form, dtype) for dtype in DTYPES for form in FORMS]
        if not EVERYTHING:
            # Not i alone: the cases have epilogues by turns, too.
            ways = [ways[(i + i // len(ways)) % len(ways)]]
            if case.groups > MOST_GROUPS:
                ways = [("gathered", ways[0][1])]
            elif steps(case) > MOST_STEPS:
                ways = [("union", ways[0][1])]
        found += [Row(case, form, dtype) for form, dtype in ways]
    return found


ROWS = rows()
