"""Values of any rank as the extension takes them: an offset, a shape and strides, in floats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lilnetx.graph.ir import Shape
from lilnetx.runtime.layout import Image

Strides = tuple[int, ...]


@dataclass(frozen=True)
class View:
    """Where each element of a value lies; at least one axis.

    Attributes:
        offset: Of the first element in the arena.
        shape: Sizes of the axes.
        strides: From index to index of each axis; 0 where a value is spread along an axis.
    """

    offset: int
    shape: Shape
    strides: Strides

    def as_array(self) -> NDArray[np.int64]:
        """As the extension takes it."""
        return np.array([self.offset, *self.shape, *self.strides], np.int64)

    def spread(self, shape: Shape) -> View:
        """The value broadcast to a shape, by strides of 0."""
        missing = len(shape) - len(self.shape)
        strides = [0] * missing
        for size, stride, to in zip(self.shape, self.strides, shape[missing:], strict=True):
            strides.append(0 if size == 1 and to > 1 else stride)
        return View(self.offset, shape, tuple(strides))


def view(image: Image, shape: Shape) -> View:
    """The view of a value of that shape: images lie in planes, all others densely in C order."""
    if len(shape) == 3:
        return View(image.offset, shape, (image.channel_stride, image.row_stride, 1))
    shape = shape or (1,)
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return View(image.offset, shape, tuple(reversed(strides)))


def merge_axes(views: Sequence[View], first: int = 0) -> list[View]:
    """The same elements of views of one shape with fewer axes, where all views allow it.

    Axes before ``first`` stay; axes of one element go, but for the last one.
    """
    shape: list[int] = []
    strides: list[list[int]] = [[] for _ in views]
    last = len(views[0].shape) - 1
    for axis, size in enumerate(views[0].shape):
        if size == 1 and first <= axis < last:
            continue
        joins = len(shape) > first and all(
            kept[-1] == v.strides[axis] * size for kept, v in zip(strides, views, strict=True)
        )
        if joins:
            shape[-1] *= size
            for kept, v in zip(strides, views, strict=True):
                kept[-1] = v.strides[axis]
        else:
            shape.append(size)
            for kept, v in zip(strides, views, strict=True):
                kept.append(v.strides[axis])
    return [
        View(v.offset, tuple(shape), tuple(kept)) for kept, v in zip(strides, views, strict=True)
    ]


__all__ = ["View", "merge_axes", "view"]
