"""What all operators have in common."""

from __future__ import annotations

import math
from typing import ClassVar

from lilnetx.errors import GraphError

Shape = tuple[int, ...]
Pair = tuple[int, int]

MAX_RANK = 6
MAX_SIZE = 1 << 20  # of an axis that an operator makes longer
MAX_ELEMENTS = (1 << 31) - 64  # of a value


class Op:
    """An operator; shapes are of one image, without the batch.

    Attributes:
        arity: How many values it reads; None for one or more.
    """

    arity: ClassVar[int | None] = 1

    def check(self) -> None:
        """Raises GraphError when the fields contradict each other."""

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """Shape of what it yields; GraphError where it cannot take ``inputs``.

        The message goes on from ``node 'x': Kind``.
        """
        raise NotImplementedError


def expect(shape: Shape, expected: str, ok: bool) -> None:
    """GraphError unless ok."""
    if not ok:
        raise GraphError(f"takes {expected}, found shape {shape}")


def require(ok: bool, message: str) -> None:
    """GraphError unless ok."""
    if not ok:
        raise GraphError(message)


def require_pixels(shape: Shape, out: Shape) -> Shape:
    """The output's sides, when there is an output."""
    require(min(out) >= 1, f"leaves no pixel of an input of {shape}")
    return out


def broadcast(inputs: list[Shape]) -> Shape:
    """The shape that all shapes are spread to, by numpy's rule."""
    rank = max(len(shape) for shape in inputs)
    aligned = [(1,) * (rank - len(shape)) + shape for shape in inputs]
    out = tuple(max(sizes) for sizes in zip(*aligned, strict=True))
    for shape in aligned:
        if any(size not in (1, to) for size, to in zip(shape, out, strict=True)):
            raise GraphError(f"takes shapes that broadcast, found {' and '.join(map(str, inputs))}")
    return out


def elements(shape: Shape) -> int:
    """Number of elements."""
    return math.prod(shape)


__all__ = [
    "MAX_ELEMENTS",
    "MAX_RANK",
    "MAX_SIZE",
    "Op",
    "Pair",
    "Shape",
    "broadcast",
    "elements",
    "expect",
    "require",
    "require_pixels",
]
