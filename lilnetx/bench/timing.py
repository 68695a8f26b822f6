"""Fair timing of several contenders in one process."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Call = Callable[[], object]

_WARM_UP_CALLS = 3
# One call that takes longer has warmed up whatever there is, and its time is known well enough.
_LONG_CALL_MS = 200.0
# Shorter measurements would be mostly the clock and the loop.
_MIN_MEASUREMENT_MS = 2.0
# A longer call passes through more data than caches hold, so the call before it changes nothing.
_WARM_CALL_BELOW_MS = 20.0


@dataclass(frozen=True)
class Timing:
    """Times of one contender, in milliseconds a call.

    Attributes:
        median_ms: Median over the rounds.
        p20_ms: 20th percentile.
        p80_ms: 80th percentile.
        rounds: Number of measurements.
        calls: Calls in a measurement, whose mean it is.
        cpu_share: Processor time of all threads by elapsed time, over all measurements. Clearly
            below the number of threads, other processes took the cores, or threads waited.
    """

    median_ms: float
    p20_ms: float
    p80_ms: float
    rounds: int
    calls: int
    cpu_share: float


def alternate(
    contenders: Mapping[str, Call],
    *,
    seconds: float,
    min_rounds: int = 20,
    rest_ms: float = 0.0,
    seed: int = 0,
    on_progress: Callable[[float], None] = lambda done: None,
) -> dict[str, Timing]:
    """Time contenders in turns, so that whatever disturbs the machine disturbs all of them.

    Each round measures every contender once, in a new random order. A measurement is as many calls
    as last at least 2 ms. An untimed call goes before it, so that a short call finds its data in
    the caches whoever came before; calls of 20 ms and more do without it.

    Args:
        contenders: Name to what is timed.
        seconds: How long to go on, all contenders together.
        min_rounds: Rounds made even if that takes longer.
        rest_ms: Pause before each contender, in which the threads of the one before fall asleep.
        seed: Of the orders.
        on_progress: Told after each round how much is done, 0 to 1.

    Returns:
        Timings by name.
    """
    rng = random.Random(seed)
    for call in contenders.values():
        _fastest_ms(call)
    fastest = {name: _fastest_ms(call) for name, call in contenders.items()}
    calls = {
        name: max(1, math.ceil(_MIN_MEASUREMENT_MS / max(ms, 1e-3))) for name, ms in fastest.items()
    }
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    order = list(contenders)
    began = time.perf_counter()
    end = began + seconds
    rounds = 0
    while rounds < min_rounds or time.perf_counter() < end:
        rng.shuffle(order)
        for name in order:
            if rest_ms:
                time.sleep(rest_ms / 1e3)
            warm = fastest[name] < _WARM_CALL_BELOW_MS
            samples[name].append(_measure(contenders[name], calls[name], warm))
        rounds += 1
        passed = (time.perf_counter() - began) / seconds if seconds > 0 else 1.0
        on_progress(min(rounds / max(min_rounds, 1), passed, 1.0))
    return {name: _summarise(samples[name], calls[name]) for name in contenders}


def time_once(call: Call) -> float:
    """Milliseconds of one call."""
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e3


def _fastest_ms(call: Call) -> float:
    """Least milliseconds of the first calls: three, or fewer long ones."""
    best = math.inf
    for _ in range(_WARM_UP_CALLS):
        ms = time_once(call)
        best = min(best, ms)
        if ms > _LONG_CALL_MS:
            break
    return best


def _measure(call: Call, calls: int, warm: bool) -> tuple[float, float]:
    """Mean milliseconds of a call, elapsed and of processors, over ``calls`` calls.

    An untimed call goes before them if ``warm``.
    """
    if warm:
        call()
    cpu_began, began = time.process_time(), time.perf_counter()
    for _ in range(calls):
        call()
    elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    return elapsed * 1e3 / calls, cpu * 1e3 / calls


def _summarise(samples: list[tuple[float, float]], calls: int) -> Timing:
    elapsed, cpu = np.array(samples).T
    p20, median, p80 = (float(value) for value in np.percentile(elapsed, [20, 50, 80]))
    return Timing(median, p20, p80, len(samples), calls, float(cpu.sum() / elapsed.sum()))
