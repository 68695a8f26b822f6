"""Operators along some axes: reductions and softmax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lilnetx.graph.ops.base import Op, Shape, expect, require

ReduceKind = Literal["mean", "sum", "max", "min"]


@dataclass(frozen=True)
class Reduce(Op):
    """Mean, sum, maximum or minimum over some axes, which stay as 1 (``keep``) or go."""

    kind: ReduceKind
    axes: tuple[int, ...]
    keep: bool = False

    def check(self) -> None:
        """See :class:`Op`."""
        ok = len(set(self.axes)) == len(self.axes) >= 1 and min(self.axes) >= 0
        require(ok, f"over axes {self.axes}: expected different ones, at least one")

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """See the class."""
        (shape,) = inputs
        expect(shape, f"an axis {max(self.axes)}", max(self.axes) < len(shape))
        if self.keep:
            return tuple(1 if i in self.axes else n for i, n in enumerate(shape))
        return tuple(n for i, n in enumerate(shape) if i not in self.axes)


@dataclass(frozen=True)
class Softmax(Op):
    """``exp(x) / sum(exp(x))`` along an axis."""

    axis: int = 0

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """The shape of its input."""
        (shape,) = inputs
        expect(shape, f"an axis {self.axis}", 0 <= self.axis < len(shape))
        return shape


__all__ = ["Reduce", "ReduceKind", "Softmax"]
