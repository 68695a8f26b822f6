"""Timing by the GPU's own clock, with caches that hold nothing of the call before."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Call = Callable[[], object]

# Calls between two waits for the GPU: enough to hide what starting them costs.
_CALLS_A_ROUND = 20
_WARM_UP_CALLS = 3


class Clock(Protocol):
    """Points in time of a stream of work."""

    def mark(self) -> Any:
        """A point that is reached when all work before it is done."""

    def wait(self) -> None:
        """Returns when all work is done."""

    def between(self, start: Any, end: Any) -> float:
        """Milliseconds between two points, after :meth:`wait`."""


class EventClock:
    """CUDA events on the current stream."""

    def mark(self) -> Any:
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def wait(self) -> None:
        import torch

        torch.cuda.synchronize()

    def between(self, start: Any, end: Any) -> float:
        return float(start.elapsed_time(end))


@dataclass(frozen=True)
class GpuTiming:
    """Milliseconds of a call: median and percentiles over all timed calls."""

    median_ms: float
    p20_ms: float
    p80_ms: float
    calls: int


class Deadline:
    """Time that is left, in seconds.

    Args:
        seconds: From now.
        now: The clock, ``time.monotonic`` or a test's.
    """

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._end = now() + seconds

    @property
    def left(self) -> float:
        return self._end - self._now()


def buffers_needed(call_bytes: int, cache_bytes: int) -> int:
    """Sets of buffers of which one call's are out of the cache when its turn comes again.

    Args:
        call_bytes: What a call reads and writes.
        cache_bytes: Size of the level-2 cache.
    """
    return max(2, min(64, -(-3 * cache_bytes // max(call_bytes, 1))))


def alternate(
    contenders: Mapping[str, Sequence[Call]],
    clock: Clock,
    *,
    seconds: float,
    min_rounds: int = 3,
    now: Callable[[], float] = time.monotonic,
    seed: int = 0,
) -> dict[str, GpuTiming]:
    """Times contenders in turns, each call with the next set of its buffers.

    Args:
        contenders: By name, one call for each set of buffers.
        clock: The GPU's.
        seconds: To go on, all contenders together.
        min_rounds: Rounds made even if that takes longer.
        now: The host's clock.
        seed: Of the order within rounds.
    """
    rng = random.Random(seed)
    for calls in contenders.values():
        for i in range(max(_WARM_UP_CALLS, len(calls))):
            calls[i % len(calls)]()
    clock.wait()
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    turn = dict.fromkeys(contenders, 0)
    order, rounds, end = list(contenders), 0, now() + seconds
    while rounds < min_rounds or now() < end:
        rng.shuffle(order)
        for name in order:
            calls = contenders[name]
            marks = [clock.mark()]
            for _ in range(_CALLS_A_ROUND):
                calls[turn[name] % len(calls)]()
                turn[name] += 1
                marks.append(clock.mark())
            clock.wait()
            # The first call waited for the host; the others were queued behind it.
            pairs = itertools.pairwise(marks[1:])
            samples[name] += [clock.between(a, b) for a, b in pairs]
        rounds += 1
    return {name: _summary(times) for name, times in samples.items()}


def _summary(times: list[float]) -> GpuTiming:
    p20, median, p80 = (float(value) for value in np.percentile(times, [20, 50, 80]))
    return GpuTiming(median, p20, p80, len(times))
