"""Operators that move elements, and change none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from lilnetx.errors import GraphError
from lilnetx.graph.ops.base import MAX_SIZE, Op, Shape, elements, expect, require

PadMode = Literal["constant", "reflect", "edge", "wrap"]


@dataclass(frozen=True)
class Flatten(Op):
    """Any shape to ``(size,)``, in C order."""

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """See the class."""
        return (elements(inputs[0]),)


@dataclass(frozen=True)
class Reshape(Op):
    """The same elements, in C order, in another shape; one size may be -1, which follows."""

    shape: tuple[int, ...]

    def check(self) -> None:
        """See :class:`Op`."""
        ok = all(size >= 1 or size == -1 for size in self.shape) and self.shape.count(-1) <= 1
        require(ok, f"to {self.shape}: sizes must be positive, and at most one -1")

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """See the class."""
        size = elements(inputs[0])
        known = elements(tuple(n for n in self.shape if n != -1))
        ok = size % known == 0 if -1 in self.shape else size == known
        require(ok, f"cannot make {self.shape} of shape {inputs[0]}")
        return tuple(size // known if n == -1 else n for n in self.shape)


@dataclass(frozen=True)
class Transpose(Op):
    """Axis i of the output is axis ``axes[i]`` of the input."""

    axes: tuple[int, ...]

    def check(self) -> None:
        """See :class:`Op`."""
        require(sorted(self.axes) == list(range(len(self.axes))), f"axes {self.axes} are no order")

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """See the class."""
        (shape,) = inputs
        expect(shape, f"{len(self.axes)} axes", len(shape) == len(self.axes))
        return tuple(shape[axis] for axis in self.axes)


@dataclass(frozen=True)
class Concat(Op):
    """Values behind each other along an axis."""

    axis: int
    arity: ClassVar[int | None] = None

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """See the class."""
        first, axis = inputs[0], self.axis
        expect(first, f"an axis {axis}", 0 <= axis < len(first))
        for shape in inputs[1:]:
            same = len(shape) == len(first) and all(
                i == axis or a == b for i, (a, b) in enumerate(zip(shape, first, strict=True))
            )
            expect(shape, f"shapes that differ in axis {axis} only, the first {first}", same)
        return (*first[:axis], sum(shape[axis] for shape in inputs), *first[axis + 1 :])


@dataclass(frozen=True)
class Slice(Op):
    """Elements ``start:stop:step`` of an axis, as Python counts; stop None: to the last one."""

    axis: int
    start: int
    stop: int | None = None
    step: int = 1

    def check(self) -> None:
        """See :class:`Op`."""
        require(self.step != 0, "the step must not be 0")

    def indices(self, size: int) -> range:
        """The indices of an axis of that size."""
        return range(size)[self.start : self.stop : self.step]

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """See the class."""
        (shape,) = inputs
        expect(shape, f"an axis {self.axis}", 0 <= self.axis < len(shape))
        left = len(self.indices(shape[self.axis]))
        require(left >= 1, f"leaves nothing of axis {self.axis} of shape {shape}")
        return (*shape[: self.axis], left, *shape[self.axis + 1 :])


@dataclass(frozen=True)
class Pad(Op):
    """More (or, below 0, fewer) elements before and after each axis.

    ``mode``: ``"constant"`` (``value``, a float32), ``"reflect"`` (mirrored, without repeating the
    edge), ``"edge"`` or ``"wrap"`` (circular).
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    mode: PadMode = "constant"
    value: float = 0.0

    def check(self) -> None:
        """See :class:`Op`."""
        require(len(self.before) == len(self.after), "before and after differ in length")

    def source(self, axis: int, size: int) -> list[int]:
        """For each output index along an axis the input's index, or -1 for ``value``."""
        indices = range(-self.before[axis], size + self.after[axis])
        if self.mode == "constant":
            return [i if 0 <= i < size else -1 for i in indices]
        if self.mode == "edge":
            return [min(max(i, 0), size - 1) for i in indices]
        if self.mode == "wrap":
            return [i % size for i in indices]
        period = max(2 * size - 2, 1)
        return [min(i % period, period - i % period) if size > 1 else 0 for i in indices]

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """See the class."""
        (shape,) = inputs
        expect(shape, f"{len(self.before)} axes", len(shape) == len(self.before))
        out = tuple(size + b + a for size, b, a in zip(shape, self.before, self.after, strict=True))
        if min(out, default=1) < 1:
            raise GraphError(f"leaves nothing of shape {shape}")
        longest = max((b + a for b, a in zip(self.before, self.after, strict=True)), default=0)
        require(longest <= MAX_SIZE, f"adds {longest} elements, expected at most {MAX_SIZE}")
        return out


__all__ = ["Concat", "Flatten", "Pad", "PadMode", "Reshape", "Slice", "Transpose"]
