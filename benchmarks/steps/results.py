"""What all steps share: their surroundings, and the files they write."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import lilnetx
from lilnetx.atomic import atomic_write
from lilnetx.bench.machine import describe_machine, installed_versions
from lilnetx.bench.report import MIN_CPU_SHARE
from lilnetx.bench.timing import Timing

BENCHMARKS = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Context:
    """What a step is told.

    Attributes:
        results: Folder for its files.
        quick: Whether to do as little as shows that everything works.
        tune: Whether kernels are chosen by measuring, or else by rules alone.
        cores: Cores that the process is pinned to.
        command: Command line to record.
        progress: Is told the share of the step that is done, 0 to 1, and what comes next.
    """

    results: Path
    quick: bool
    tune: bool
    cores: tuple[int, ...]
    command: str
    progress: Callable[[float, str], None]

    @property
    def dense_engines(self) -> tuple[str, ...]:
        """Names of the contenders that networks are compared with."""
        return ("onnxruntime",) if self.quick else ("onnxruntime", "openvino", "torch-compile")

    def write(
        self, name: str, rows: Sequence[Mapping[str, object]], facts: Mapping[str, object]
    ) -> None:
        """Writes ``name.csv`` with the measurements and ``name.json`` with all that explains them.

        Args:
            name: Of the files.
            rows: Measurements, all with the same keys.
            facts: Beside command, machine and versions.
        """
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows([{key: _plain(value) for key, value in row.items()} for row in rows])
        with atomic_write(self.results / f"{name}.csv") as file:
            file.write(text.getvalue().encode())
        self.write_json(name, facts)

    def write_json(self, name: str, facts: Mapping[str, object]) -> None:
        """Writes ``name.json``: the facts, and what every result says of its making."""
        made = {
            "command": self.command,
            "tuned": self.tune,
            "machine": describe_machine(),
            "versions": installed_versions(),
            "fingerprint": fingerprint(),
        }
        with atomic_write(self.results / f"{name}.json") as file:
            file.write((json.dumps({**facts, **made}, indent=2) + "\n").encode())


def _plain(value: object) -> object:
    """Six digits are more than any timing has."""
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value


@cache
def fingerprint() -> str:
    """A hash of the code that is measured and of the code that measures."""
    package = Path(lilnetx.__file__).parent
    sources = [*package.rglob("*.py"), *package.rglob("*.so"), *BENCHMARKS.rglob("*.py")]
    digest = hashlib.sha256()
    for path in sorted(sources):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def is_fresh(path: Path, code: str) -> bool:
    """Whether a result is there and was measured by this code."""
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return facts.get("fingerprint") == code


def timing_columns(timing: Timing) -> dict[str, object]:
    """Columns that every timing has."""
    return {
        "median_ms": timing.median_ms,
        "p20_ms": timing.p20_ms,
        "p80_ms": timing.p80_ms,
        "rounds": timing.rounds,
        "cpu_share": timing.cpu_share,
    }


def disturbance(timings: Iterable[Timing]) -> str:
    """What to add to a summary when other processes ran on the core of one-thread contenders."""
    least = min(timing.cpu_share for timing in timings)
    if least >= MIN_CPU_SHARE:
        return ""
    return f" (WARNING: other processes took up to {100 * (1 - least):.0f} % of the core)"
