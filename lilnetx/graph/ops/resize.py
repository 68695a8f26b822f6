"""Resizing of images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from lilnetx.graph.ops.base import MAX_SIZE, Op, Pair, Shape, expect, require

ResizeMode = Literal["nearest", "linear"]
Coordinates = Literal["asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel"]
Rounding = Literal["floor", "ceil", "prefer_floor", "prefer_ceil"]


@dataclass(frozen=True)
class Resize(Op):
    """Nearest or bilinear interpolation, with the names of ONNX's Resize.

    Attributes:
        mode: ``"nearest"`` or ``"linear"``.
        scale: Output pixels for each input pixel, down and across; used where ``size`` is None,
            and for coordinates if positive (else these follow from the sizes).
        size: Output pixels, or None for ``floor(H * scale)``.
        coordinates: How pixels of the output lie over those of the input.
        rounding: To which pixel ``"nearest"`` goes.
    """

    mode: ResizeMode
    scale: tuple[float, float] = (0.0, 0.0)
    size: Pair | None = None
    coordinates: Coordinates = "asymmetric"
    rounding: Rounding = "floor"

    def check(self) -> None:
        """See :class:`Op`."""
        if self.size is None:
            require(
                min(self.scale) > 0 and max(self.scale) <= 1024,
                f"the scale must be within 0..1024, found {self.scale}",
            )
        else:
            require(min(self.size) >= 1, f"the size must be positive, found {self.size}")

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """``(C, H, W)`` to ``(C, Ho, Wo)``."""
        (shape,) = inputs
        expect(shape, "(C, H, W)", len(shape) == 3)
        out = self.size or tuple(
            math.floor(n * s) for n, s in zip(shape[1:], self.scale, strict=True)
        )
        require(min(out) >= 1, f"leaves no pixel of an input of {shape}")
        require(max(out) <= MAX_SIZE, f"makes {out} pixels, expected at most {MAX_SIZE} a side")
        return (shape[0], *out)

    def positions(self, axis: int, size: int, out: int) -> list[float]:
        """Where the output's pixels along an axis (0 down, 1 across) lie over the input's."""
        scale = self.scale[axis] if self.scale[axis] > 0 else out / size
        if self.coordinates == "align_corners":
            # As ONNX has it, with the size before rounding, where a scale is given.
            last = (size * scale if self.scale[axis] > 0 else out) - 1
            return [i * (size - 1) / last if last > 0 else 0.0 for i in range(out)]
        if self.coordinates == "asymmetric":
            return [i / scale for i in range(out)]
        if self.coordinates == "pytorch_half_pixel" and out == 1:
            return [0.0]
        return [(i + 0.5) / scale - 0.5 for i in range(out)]

    def nearest(self, axis: int, size: int, out: int) -> list[int]:
        """The input's pixel for each of the output's, of ``"nearest"``."""
        rounded = {
            "floor": math.floor,
            "ceil": math.ceil,
            "prefer_floor": lambda x: math.ceil(x - 0.5),
            "prefer_ceil": lambda x: math.floor(x + 0.5),
        }[self.rounding]
        return [min(max(rounded(x), 0), size - 1) for x in self.positions(axis, size, out)]


__all__ = ["Coordinates", "Resize", "ResizeMode", "Rounding"]
