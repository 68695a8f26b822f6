"""Arithmetic of two values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lilnetx.graph.ops.base import Op, Shape, broadcast, require


class Binary(Op):
    """An elementwise operator of two values, whose shapes broadcast as numpy's do."""

    arity: ClassVar[int | None] = 2

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """The broadcast shape."""
        return broadcast(inputs)


@dataclass(frozen=True)
class Add(Binary):
    """``a + b``."""


@dataclass(frozen=True)
class Sub(Binary):
    """``a - b``."""


@dataclass(frozen=True)
class Mul(Binary):
    """``a * b``."""


@dataclass(frozen=True)
class Div(Binary):
    """``a / b``."""


@dataclass(frozen=True)
class MatMul(Op):
    """Matrix product of ``(..., M, K)`` and ``(..., K, N)``; leading axes broadcast."""

    arity: ClassVar[int | None] = 2

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """``(..., M, N)``."""
        a, b = inputs
        ok = min(len(a), len(b)) >= 2 and a[-1] == b[-2]
        require(ok, f"takes (..., M, K) and (..., K, N), found shapes {a} and {b}")
        return (*broadcast([(*a[:-2], 1), (*b[:-2], 1)])[:-1], a[-2], b[-1])


__all__ = ["Add", "Binary", "Div", "MatMul", "Mul", "Sub"]
