"""What came of a list of measurements: one that fails must not cost the others."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """Measurements, and what there is none of.

    Attributes:
        rows: Of the table.
        not_run: What there was no time for.
        failed: What went wrong, a line each.
    """

    rows: list[dict[str, object]] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@contextlib.contextmanager
def noting_failures(what: str, failed: list[str]) -> Iterator[None]:
    """Turns any error into a line of ``failed``; the first one of a run is printed as a whole."""
    try:
        yield
    except Exception as error:  # whatever a compiler, a driver or a wrong result brings
        if not failed:
            traceback.print_exc()
        first = (str(error).splitlines() or [""])[0]
        failed.append(f"{what}: {type(error).__name__}: {first}")
