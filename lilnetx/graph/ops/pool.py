"""Pooling."""

from __future__ import annotations

from dataclasses import dataclass

from lilnetx.graph.ops.base import Op, Pair, Shape, expect, require, require_pixels


def pool_output(
    size: int,
    kernel: int,
    stride: int,
    padding: int,
    ceil_mode: bool,
    padding_end: int | None = None,
    dilation: int = 1,
) -> int:
    """Output pixels of a pooling window along one axis, by torch's rule.

    With ``ceil_mode`` the last window may reach past the padding, but each window starts inside the
    input or its leading padding. ``padding_end`` is that behind the input, None for as much.
    """
    end = padding if padding_end is None else padding_end
    span = size + padding + end - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return span // stride + 1
    out = -(-span // stride) + 1
    return out - 1 if (out - 1) * stride >= size + padding else out


class Pool2d(Op):
    """What the two kinds of pooling have in common."""

    kernel: Pair
    stride: Pair
    padding: Pair
    ceil_mode: bool
    padding_end: Pair | None
    dilation: Pair

    @property
    def ends(self) -> Pair:
        """Padding at the bottom and the right."""
        return self.padding if self.padding_end is None else self.padding_end

    @property
    def plain(self) -> bool:
        """Whether it has no dilation and equal padding at opposite sides."""
        return self.ends == self.padding and self.dilation == (1, 1)

    def check(self) -> None:
        """See :class:`Op`."""
        ok = min(*self.kernel, *self.stride, *self.dilation) >= 1
        # More padding would give windows that hold nothing else.
        for k, d, p, e in zip(self.kernel, self.dilation, self.padding, self.ends, strict=True):
            ok = ok and 0 <= p <= d * (k - 1) and 0 <= e <= d * (k - 1)
        require(
            ok,
            f"with kernel {self.kernel}, stride {self.stride}, padding {self.padding}: kernel and "
            "stride must be positive and the padding smaller than the kernel",
        )

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """``(C, H, W)`` to ``(C, Ho, Wo)``."""
        (shape,) = inputs
        expect(shape, "(C, H, W)", len(shape) == 3)
        out = tuple(
            pool_output(
                shape[1 + i],
                self.kernel[i],
                self.stride[i],
                self.padding[i],
                self.ceil_mode,
                self.ends[i],
                self.dilation[i],
            )
            for i in (0, 1)
        )
        return (shape[0], *require_pixels(shape, out))


@dataclass(frozen=True)
class MaxPool2d(Pool2d):
    """Maximum over windows; padding counts as minus infinity."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    ceil_mode: bool = False
    padding_end: Pair | None = None
    dilation: Pair = (1, 1)


@dataclass(frozen=True)
class AvgPool2d(Pool2d):
    """Mean over windows; ``count_include_pad`` as in torch."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    ceil_mode: bool = False
    count_include_pad: bool = True
    padding_end: Pair | None = None
    dilation: Pair = (1, 1)


@dataclass(frozen=True)
class GlobalAvgPool(Op):
    """Mean over all pixels: ``(C, H, W)`` to ``(C, 1, 1)``."""

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """See the class."""
        (shape,) = inputs
        expect(shape, "(C, H, W)", len(shape) == 3)
        return (shape[0], 1, 1)


def adaptive_window(index: int, size: int, out: int) -> Pair:
    """First input pixel of an adaptive pooling's window, and the first one behind it."""
    return index * size // out, -(-(index + 1) * size // out)


class AdaptivePool2d(Op):
    """Pooling to a number of pixels: window i of n is pixels ``i * H // n`` to ``(i + 1) * H / n``.

    The last is rounded up.
    """

    size: Pair

    def check(self) -> None:
        """See :class:`Op`."""
        require(min(self.size) >= 1, f"the size must be positive, found {self.size}")

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """``(C, H, W)`` to ``(C, *size)``."""
        (shape,) = inputs
        expect(shape, "(C, H, W)", len(shape) == 3)
        return (shape[0], *self.size)


@dataclass(frozen=True)
class AdaptiveAvgPool2d(AdaptivePool2d):
    """Mean over each window."""

    size: Pair


@dataclass(frozen=True)
class AdaptiveMaxPool2d(AdaptivePool2d):
    """Maximum over each window."""

    size: Pair


__all__ = [
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AdaptivePool2d",
    "AvgPool2d",
    "GlobalAvgPool",
    "MaxPool2d",
    "Pool2d",
    "adaptive_window",
    "pool_output",
]
