"""The price of a bit for which a network has a given size, or answers nearly as before."""

from __future__ import annotations

import math
from collections.abc import Callable

from lilnetx.errors import CompressionError
from lilnetx.packing.calibrate.network import Candidate, RoundedNetwork

# A file between this share of the target and the target is near enough.
_NEAR, _AIM = 0.985, 0.993
_TRIES = 16
# The shortest step while no file fits, or each one does, and the tries after which it doubles: so
# all prices are within reach, also where the size hardly changes from one to the next.
_STEP, _STEADY = 0.1, 3
# More bits than this in a weight make no difference to float32 outputs.
_MOST_BITS = 16.0
_START_BITS = 5.0
_LARGEST_COST = 2.0**80
_BISECTIONS = 5


def find_size(network: RoundedNetwork, target: int, progress: Callable[[float], None]) -> Candidate:
    """The network whose file has at most ``target`` bytes, and hardly fewer.

    Raises:
        CompressionError: Even with no weight left the file is larger.
    """
    bits = min(8 * target / network.weights, _MOST_BITS)
    least = math.log2(network.cost_for(_MOST_BITS))
    low, high = least, math.log2(_LARGEST_COST)  # too large a file, and one that fits
    sizes: dict[float, int] = {}
    best: Candidate | None = None
    at = max(math.log2(network.cost_for(bits)), least)
    for done in range(1, _TRIES + 1):
        candidate = network.at(2.0**at)
        sizes[at] = candidate.size
        progress(done / _TRIES)
        if candidate.size <= target:
            high = at
            if best is None or candidate.size > best.size:
                best = candidate
            if candidate.size >= _NEAR * target or at <= least:
                break
        else:
            low = at
            if at >= math.log2(_LARGEST_COST):
                break
        at = _next(at, low, high, sizes, target, network.weights)
    if best is None:
        raise CompressionError(
            f"no file of {target:,} bytes can be made: {min(sizes.values()):,} bytes are needed "
            "for names, biases and the shape of the network; give a larger target"
        )
    return best


def _next(
    at: float, low: float, high: float, sizes: dict[float, int], target: int, weights: int
) -> float:
    """Where to try next: two points on both sides make a line, one the slope of theory."""
    aim = _AIM * target
    if low in sizes and high in sizes:
        a, b = math.log(sizes[low]), math.log(sizes[high])
        share = (a - math.log(aim)) / (a - b) if a > b else 0.5
        return low + (high - low) * min(max(share, 0.05), 0.95)
    # Four times the price doubles the steps, which saves a bit of each weight.
    step = 2 * 8 * (sizes[at] - aim) / weights
    least = _STEP * 2.0 ** max(0, len(sizes) - _STEADY)
    step = math.copysign(max(min(abs(step), 8.0), least), step)
    return min(max(at + step, low), high)


def find_drop(
    network: RoundedNetwork,
    drop_of: Callable[[Candidate], float],
    limit: float,
    progress: Callable[[float], None],
) -> Candidate:
    """The smallest network found whose answers differ by at most ``limit``.

    Args:
        network: The rounding problems.
        drop_of: Measures a network, in the units of ``limit``.
        limit: What may change.
        progress: Called with the share of the work done.

    Raises:
        CompressionError: Not even the finest integers keep to the limit.
    """
    least = math.log2(network.cost_for(_MOST_BITS))
    largest = math.log2(network.cost_for(0.02))
    at = math.log2(network.cost_for(_START_BITS))
    low: float | None = None  # keeps to the limit
    high: float | None = None  # does not
    best: Candidate | None = None
    smallest_drop = math.inf
    bisections = done = 0
    while bisections < _BISECTIONS:
        candidate = network.at(2.0**at)
        drop = drop_of(candidate)
        smallest_drop = min(smallest_drop, drop)
        done += 1
        progress(min(0.95, done / 10))
        if drop <= limit:
            low = at
            if best is None or candidate.size < best.size:
                best = candidate
        else:
            high = at
        if high is None:
            if at >= largest:
                break
            at = min(at + 2, largest)
        elif low is None:
            if at <= least:
                break
            at = max(at - 2, least)
        else:
            bisections += 1
            at = (low + high) / 2
    if best is None:
        raise CompressionError(
            f"even integers of {_MOST_BITS:.0f} bits change the answers by "
            f"{100 * smallest_drop:.2f} %, above the {100 * limit:.2f} % allowed; allow more"
        )
    return best


__all__ = ["find_drop", "find_size"]
