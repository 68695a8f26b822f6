"""What gpu-check can check of itself without a GPU: its loops, on a clock of its own."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from gpu import layers, networks, table
from gpu.precisions import PRECISIONS
from gpu.timing import Deadline, alternate, buffers_needed


class FakeGpu:
    """A clock on which each call takes the milliseconds that it says."""

    def __init__(self) -> None:
        self.ms = 0.0
        self.waits = 0

    def call(self, ms: float, log: list[float]) -> Callable[[], None]:
        def work() -> None:
            self.ms += ms
            log.append(ms)

        return work

    def mark(self) -> float:
        return self.ms

    def wait(self) -> None:
        self.waits += 1

    def between(self, start: float, end: float) -> float:
        return end - start

    def now(self) -> float:
        """The host's seconds: what the GPU has worked."""
        return self.ms / 1e3


def self_check(folder: Path) -> Iterator[str]:
    """Checks loops and files; AssertionError where one is wrong. Yields what was checked."""
    gpu, log = FakeGpu(), []
    timings = alternate(
        {
            "one": [gpu.call(2.0, log)],
            "rotated": [gpu.call(ms, log) for ms in (1.0, 3.0, 5.0)],
        },
        gpu,
        seconds=1.0,
        now=gpu.now,
    )
    require(timings["one"].median_ms == timings["one"].p20_ms == 2.0, "a steady call's median")
    require(timings["rotated"].median_ms == 3.0, "the median of rotated buffers")
    require(timings["rotated"].p80_ms == 5.0, "the percentiles of rotated buffers")
    counts = [log.count(ms) for ms in (1.0, 3.0, 5.0)]
    require(max(counts) - min(counts) <= 1, "that all buffers take turns")
    require(1.0 <= gpu.now() < 1.5, "the time that a comparison takes")
    yield "the timing loop, on a fake clock"
    require(buffers_needed(10**9, 50 * 2**20) == 2, "sets of large buffers")
    require(buffers_needed(2**20, 50 * 2**20) == 64, "sets of small buffers")
    deadline = Deadline(1.0, gpu.now)
    gpu.ms += 2000
    require(deadline.left < 0, "that a deadline passes")
    yield "rotation of buffers, deadlines"
    rows = [{"kind": "layer", "name": str(job), "median_ms": 1 / 3} for job in layers.jobs()]
    table.write(folder, "rows", rows, {"command": "self-check", "not_run": []})
    with (folder / "rows.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    require([row["name"] for row in found] == [row["name"] for row in rows], "names of rows")
    require({row["median_ms"] for row in found} == {"0.333333"}, "digits of numbers")
    facts = json.loads((folder / "rows.json").read_text())
    require(facts["rows"] == rows and facts["command"] == "self-check", "facts beside rows")
    yield f"the table writer, with {len(rows)} rows"
    made = networks.jobs(("triton", "cuda"))
    ways = {(job.contender, job.batch) for job in made}
    require(len(ways) == 4 * len(networks.BATCHES), "contenders at each batch")
    require({job.precision for job in made} == set(PRECISIONS), "precisions of networks")
    whole = sum(job.shape.count for job in layers.jobs()) / (len(layers.BATCHES) * len(PRECISIONS))
    require(whole == 52, "that all 52 layers behind the stem are there")
    yield "the lists of layers and contenders"


def require(ok: bool, what: str) -> None:
    """AssertionError that names what is wrong."""
    if not ok:
        raise AssertionError(f"gpu-check finds an error in itself: {what}")
