"""The picture of a sweep: accuracy against bytes, and against computation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from lilnetx.sweep.front import Outcome
from lilnetx.sweep.shapes import Dot, Label, Line, Shape

WIDTH, HEIGHT = 1000, 420
# Colours that people with any colour vision can tell apart (Okabe and Ito).
BLUE, GREY = "#0072B2", "#9A9A9A"
_INK, _GRID = "#222222", "#E4E4E4"
_TOP, _BOTTOM, _LEFT, _GAP = 64, 52, 56, 66


def chart(outcomes: Sequence[Outcome], front: Sequence[Outcome]) -> list[Shape]:
    """Two panels side by side, those of the front in blue, a step line around the best of each."""
    width = (WIDTH - 2 * _GAP) / 2
    shapes: list[Shape] = [
        Label(_LEFT, 24, f"{len(outcomes)} trials; on the front: {len(front)}, in blue", 15),
    ]
    panels: tuple[tuple[str, Callable[[Outcome], float]], ...] = (
        ("bytes of the packed file", lambda o: float(o.bytes)),
        ("million multiply-accumulates of one image", lambda o: o.macs_left / 1e6),
    )
    for index, (label, cost) in enumerate(panels):
        left = _LEFT + index * (width + _GAP)
        shapes += _panel(outcomes, front, label, cost, left, width - 10)
    return shapes


def _panel(
    outcomes: Sequence[Outcome],
    front: Sequence[Outcome],
    label: str,
    cost: Callable[[Outcome], float],
    left: float,
    width: float,
) -> list[Shape]:
    costs = [max(cost(o), 1e-9) for o in outcomes]
    scores = [100 * o.validation_top1 for o in outcomes]
    low, high = min(costs) / 1.15, max(costs) * 1.15
    least, most = _padded(min(scores), max(scores))
    height = HEIGHT - _TOP - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        across = math.log(x / low) / math.log(high / low)
        return left + width * across, _TOP + height * (1 - (y - least) / (most - least))

    shapes: list[Shape] = [Label(left, _TOP - 12, "% right on validation images")]
    for tick in _ticks(least, most):
        (_, y), text = place(low, tick), f"{tick:g}"
        shapes += [Line(((left, y), (left + width, y)), _GRID)]
        shapes += [Label(left - 6, y + 4, text, anchor="end")]
    for tick in _log_ticks(low, high):
        x, y = place(tick, least)
        shapes += [Line(((x, y), (x, _TOP)), _GRID)]
        shapes += [Label(x, y + 18, f"{tick:,.6g}", anchor="middle")]
    shapes.append(Label(left + width / 2, HEIGHT - 12, label, anchor="middle"))
    steps = [place(x, y) for x, y in _staircase(list(zip(costs, scores, strict=True)))]
    if len(steps) > 1:
        shapes.append(Line(tuple(steps), BLUE, 1.5))
    best = {o.slot for o in front}
    for outcome, x_value, y_value in zip(outcomes, costs, scores, strict=True):
        x, y = place(x_value, y_value)
        values = ", ".join(f"{k} {v:.4g}" for k, v in outcome.values.items())
        title = (
            f"trial {outcome.slot} ({values}): {y_value:.2f} %, {outcome.bytes:,} bytes, "
            f"{100 * outcome.macs_left / outcome.macs:.1f} % of the multiply-accumulates"
        )
        on_front = outcome.slot in best
        shapes.append(Dot(x, y, 5 if on_front else 3.5, BLUE if on_front else GREY, title))
    return shapes


def _staircase(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners of what is reached: by rising cost, the best score so far."""
    corners: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda p: (p[0], -p[1])):
        if corners and y <= corners[-1][1]:
            continue
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    return corners


def _padded(low: float, high: float) -> tuple[float, float]:
    room = max(0.08 * (high - low), 0.25)
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """Some four to eight round values in a range."""
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    for factor in (1, 2, 5, 10):
        if (high - low) / (step * factor) <= 8:
            step *= factor
            break
    first = math.ceil(low / step)
    return [round(n * step, 10) for n in range(first, math.floor(high / step) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Round values on a logarithmic axis; evenly spaced ones where it spans little."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [m * 10.0**d for d in decades for m in (1, 2, 5)]
    inside = [tick for tick in found if low <= tick <= high]
    return inside if len(inside) > 2 else _ticks(low, high)


__all__ = ["BLUE", "GREY", "HEIGHT", "WIDTH", "chart"]
