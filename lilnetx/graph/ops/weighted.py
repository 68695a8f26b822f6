"""Operators with weights, and those with a scale and a shift for each channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lilnetx.graph.ops.base import Op, Pair, Shape, expect, require, require_pixels


def conv_output(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Output pixels of a convolution along one axis; may be below 1 when the input is too small."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


@dataclass(frozen=True)
class Conv2d(Op):
    """A 2-D convolution (cross-correlation, as everywhere in deep learning).

    ``padding`` is zeros at (top and bottom, left and right), in pixels; ``groups`` divides both
    channel counts; ``in_channels`` is the total over all groups. Other padding is a
    :class:`~lilnetx.graph.ops.arrange.Pad` before it.
    """

    in_channels: int
    out_channels: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def check(self) -> None:
        """See :class:`Op`."""
        _check_conv(self)

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """``(C, H, W)`` to ``(F, Ho, Wo)``."""
        (shape,) = inputs
        ok = len(shape) == 3 and shape[0] == self.in_channels
        expect(shape, f"({self.in_channels}, H, W)", ok)
        out = tuple(
            conv_output(
                shape[1 + i], self.kernel[i], self.stride[i], self.padding[i], self.dilation[i]
            )
            for i in (0, 1)
        )
        return (self.out_channels, *require_pixels(shape, out))


@dataclass(frozen=True)
class ConvTranspose2d(Op):
    """The transpose of a convolution: each input pixel adds a scaled kernel to the output.

    Its weight has the shape of the convolution's that it is *like*, not of its transpose:
    ``(out_channels, in_channels / groups, Kh, Kw)``. ``padding`` is cut from the output at all
    sides, ``output_padding`` added at the bottom and right.
    """

    in_channels: int
    out_channels: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    output_padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def check(self) -> None:
        """See :class:`Op`."""
        _check_conv(self)
        require(min(self.output_padding) >= 0, f"output padding must not be negative in {self}")

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """``(C, H, W)`` to ``(F, Ho, Wo)``."""
        (shape,) = inputs
        ok = len(shape) == 3 and shape[0] == self.in_channels
        expect(shape, f"({self.in_channels}, H, W)", ok)
        out = tuple(
            (shape[1 + i] - 1) * self.stride[i]
            - 2 * self.padding[i]
            + self.dilation[i] * (self.kernel[i] - 1)
            + self.output_padding[i]
            + 1
            for i in (0, 1)
        )
        return (self.out_channels, *require_pixels(shape, out))


def _check_conv(op: Conv2d | ConvTranspose2d) -> None:
    require(
        min(op.in_channels, op.out_channels, op.groups) >= 1,
        f"channels and groups must be positive, found {op}",
    )
    require(
        op.in_channels % op.groups == 0 and op.out_channels % op.groups == 0,
        f"{op.groups} groups do not divide {op.in_channels} input and {op.out_channels} output "
        "channels",
    )
    require(
        min(*op.kernel, *op.stride, *op.dilation) >= 1 and min(op.padding) >= 0,
        f"kernel, stride and dilation must be positive and padding not negative, found {op}",
    )


@dataclass(frozen=True)
class Linear(Op):
    """``y = W x + b`` along the last axis: ``(..., in_features)`` to ``(..., out_features)``."""

    in_features: int
    out_features: int

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """See the class."""
        (shape,) = inputs
        ok = len(shape) >= 1 and shape[-1] == self.in_features
        expect(shape, f"(..., {self.in_features})", ok)
        return (*shape[:-1], self.out_features)


@dataclass(frozen=True)
class ChannelAffine(Op):
    """``y = scale[c] * x + bias[c]`` for each index c of the first axis: batch norm, evaluated.

    Its node has a scale and a bias of ``channels`` float32, and no weight.
    """

    channels: int

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """The shape of its input."""
        (shape,) = inputs
        ok = len(shape) >= 1 and shape[0] == self.channels
        expect(shape, f"({self.channels}, ...)", ok)
        return shape


@dataclass(frozen=True)
class Constant(Op):
    """A value that is the same for all images; its node's weight is dense and has this shape."""

    shape: Shape
    arity: ClassVar[int | None] = 0

    def check(self) -> None:
        """See :class:`Op`."""
        require(min(self.shape, default=1) >= 1, f"sizes must be positive, found {self.shape}")

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """Its own."""
        return self.shape


Weighted = Conv2d | ConvTranspose2d | Linear

__all__ = [
    "ChannelAffine",
    "Constant",
    "Conv2d",
    "ConvTranspose2d",
    "Linear",
    "Weighted",
    "conv_output",
]
