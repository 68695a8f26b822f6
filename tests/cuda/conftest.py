"""How many cases of the table each form of the CUDA kernels passed, in the summary of the tests."""

from __future__ import annotations

from collections import Counter
from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    counts: dict[str, Counter[str]] = {}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            if "test_cuda_cases.py::test_case[" in getattr(report, "nodeid", ""):
                name = "-".join(report.nodeid.rstrip("]").split("-")[-2:])
                counts.setdefault(name, Counter())[outcome] += 1
    if counts:
        terminalreporter.section("CUDA kernels in the emulator, cases of the table")
    for name, outcomes in counts.items():
        told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
        terminalreporter.write_line(f"{name}: {told}")
