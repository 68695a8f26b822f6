"""What to measure for a layer: the choice of the rules, other kernels that can do it, other tiles.

A kernel without a row in :data:`VARIATIONS` is measured where the rules suit it, with its own tile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lilnetx.runtime.problem import MAX_BLOCK, Choice, Problem
from lilnetx.runtime.registry import (
    KERNELS,
    STEP_COLS,
    STEP_ROWS,
    can_block_filters,
    can_direct3x3s2,
    choose_kernel,
)


@dataclass(frozen=True)
class Variation:
    """How a kernel's choice may be varied.

    Attributes:
        nearby: Choices with other tiles. The executor refuses those that no kernel has.
        can: Whether the kernel can do a layer, where the rules also ask whether it should; None
            for kernels whose rules are about nothing else.
    """

    nearby: Callable[[Problem, Choice], list[Choice]]
    can: Callable[[Problem], bool] | None = None


def candidates(problem: Problem) -> list[Choice]:
    """Choices for a layer, that of the rules first, each kernel with each tile once."""
    chosen = choose_kernel(problem)
    found = [chosen]
    if problem.density > 0:
        names: set[str] = set()
        for kernel in KERNELS:
            variation = VARIATIONS.get(kernel.name)
            can = (variation and variation.can) or kernel.suits
            if kernel.name in names or not can(problem):
                continue
            names.add(kernel.name)
            own = chosen if kernel.name == chosen.kernel else kernel.choose(problem)
            found.append(own)
            if variation:
                found += variation.nearby(problem, own)
    unique: dict[object, Choice] = {}
    for choice in found:
        unique.setdefault(identity(choice), choice)
    return list(unique.values())


def identity(choice: Choice) -> tuple[str, bool, int, int, int]:
    """What the executor sees of a choice."""
    return (
        choice.kernel,
        choice.staged,
        choice.block_channels,
        choice.tile_rows,
        choice.tile,
    )


def _blocks(problem: Problem, choice: Choice) -> list[Choice]:
    """Half and twice the channels between which partial sums wait in the output."""
    channels = problem.op.in_channels
    found = []
    for wanted in (choice.block_channels // 2, choice.block_channels * 2):
        block = max(min(wanted, channels, MAX_BLOCK), 1)
        block = -(-channels // -(-channels // block))
        if wanted >= 8:
            found.append(replace(choice, block_channels=block))
    return found


def _splits(size: int, part: int) -> list[int]:
    """Sizes of parts when there is one part less, one more, or twice as many."""
    parts = -(-size // part)
    return [-(-size // n) for n in (parts - 1, parts + 1, 2 * parts) if 0 < n <= size]


def _flat_tiles(problem: Problem, choice: Choice) -> list[Choice]:
    filters = choice.shape.split("x")[1]
    return [
        replace(choice, tile=tile, shape=f"{tile}x{filters}")
        for tile in _splits(problem.vectors, choice.tile)
    ] + _blocks(problem, choice)


def _row_tiles(problem: Problem, choice: Choice) -> list[Choice]:
    vectors = -(-problem.output.width // problem.traits["lanes"])
    tiles = [(rows, choice.tile) for rows in _splits(problem.output.height, choice.tile_rows)]
    for cols in _splits(vectors, choice.tile):
        most = max(1, problem.traits["rows_tile"] // cols)
        rows = min(most, problem.traits["rows_max"], problem.output.height)
        tiles.append((rows, cols))
    return [
        replace(choice, tile_rows=rows, tile=cols, shape=f"{rows}x{cols}") for rows, cols in tiles
    ] + _blocks(problem, choice)


def _step_tiles(problem: Problem, choice: Choice) -> list[Choice]:
    tiles = [(rows, cols) for rows in STEP_ROWS for cols in range(1, STEP_COLS + 1)]
    return [
        replace(choice, tile_rows=rows, tile=cols, shape=f"{rows}x{cols}")
        for rows, cols in tiles
        if rows <= problem.output.height
        and rows * cols <= problem.traits["rows_tile"]
        and (cols - 1) * problem.traits["lanes"] < problem.output.width
    ] + _blocks(problem, choice)


VARIATIONS = {
    "flat": Variation(_flat_tiles),
    "flat_blocked": Variation(_flat_tiles, can_block_filters),
    "rows3x3": Variation(_row_tiles),
    "rows3x3s2": Variation(_row_tiles),
    "direct3x3s2": Variation(_step_tiles, can_direct3x3s2),
    "rows5x5": Variation(_step_tiles),
    "rows5x5s2": Variation(_step_tiles),
    "pairs3x3": Variation(_blocks),
    "pairs3x3s2": Variation(_blocks),
    "pairs5x5": Variation(_blocks),
    "pairs5x5s2": Variation(_blocks),
}
