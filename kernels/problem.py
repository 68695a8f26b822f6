"""What a convolution kernel has to do, as plain numbers: no torch, no Triton, no GPU."""

from __future__ import annotations

from dataclasses import dataclass

from lilnetx.errors import InputError

Pair = tuple[int, int]

ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
# Kernels count pixels in 32 bits, and past the last one up to the end of a block, which Triton
# limits to 2**20.
_MOST_PIXELS = 2**31 - 2**20


@dataclass(frozen=True)
class ConvProblem:
    """One convolution of one input size.

    Attributes:
        images: Images of a call.
        channels: Input channels, over all groups.
        size: Height and width of the input, in pixels, without padding.
        filters: Output channels.
        kernel: Height and width.
        stride: Vertical and horizontal, in pixels.
        padding: Zeros at top and bottom, left and right, in pixels.
        dilation: Distance of taps, in pixels.
        groups: Groups of the convolution.
        slice_channels: Input channels of a slice.
        slices: Slices that are not zero.
        dtype: ``"float32"``, ``"float16"`` or ``"bfloat16"``, of activations.
        residual: Whether a residual is added.
    """

    images: int
    channels: int
    size: Pair
    filters: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    slice_channels: int = 1
    slices: int = 0
    dtype: str = "float32"
    residual: bool = False

    @property
    def out_size(self) -> Pair:
        """Height and width of the output; not positive where the kernel leaves no pixel."""
        height, width = (
            (self.size[i] + 2 * self.padding[i] - self.dilation[i] * (self.kernel[i] - 1) - 1)
            // self.stride[i]
            + 1
            for i in (0, 1)
        )
        return height, width

    @property
    def taps(self) -> int:
        """Taps of the kernel."""
        return self.kernel[0] * self.kernel[1]

    @property
    def pixels(self) -> int:
        """Output pixels of an image."""
        return self.out_size[0] * self.out_size[1]

    @property
    def item_bytes(self) -> int:
        """Bytes of an activation."""
        return ITEM_BYTES[self.dtype]

    @property
    def group_channels(self) -> int:
        """Input channels of a group."""
        return self.channels // self.groups

    @property
    def density(self) -> float:
        """Share of slices that are not zero."""
        slices = self.filters * -(-self.group_channels // self.slice_channels)
        return self.slices / slices if slices else 0.0

    @property
    def macs_left(self) -> int:
        """Multiply-adds of nonzero slices, all images together."""
        return self.images * self.pixels * self.slices * self.slice_channels * self.taps

    @property
    def macs_dense(self) -> int:
        """Multiply-adds of the dense layer, all images together."""
        return self.images * self.pixels * self.filters * self.group_channels * self.taps

    @property
    def flat(self) -> bool:
        """Whether output pixel p reads input pixel p and no other."""
        return self.kernel == (1, 1) and self.stride == (1, 1) and self.padding == (0, 0)

    def gathered_fits(self, inner: int) -> bool:
        """Whether form (a) can count the values of a plane with its padding.

        Args:
            inner: Images that lie innermost; 1 for planes of pixels.
        """
        height, width = (self.size[i] + 2 * self.padding[i] for i in (0, 1))
        return height * width * inner <= _MOST_PIXELS

    @property
    def union_fits(self) -> bool:
        """Whether form (b) can count the output pixels of all images."""
        return self.images * self.pixels <= _MOST_PIXELS

    def check(self) -> None:
        """InputError where the numbers describe no convolution."""
        if min(*self.stride, *self.dilation) < 1 or min(self.padding) < 0:
            raise InputError(
                f"stride {self.stride}, padding {self.padding}, dilation {self.dilation}: stride "
                "and dilation must be positive and padding not negative"
            )
        if min(self.out_size) < 1:
            raise InputError(
                f"a {self.kernel[0]}×{self.kernel[1]} kernel leaves no pixel of an input of "
                f"{self.size[0]}×{self.size[1]}"
            )


__all__ = ["ITEM_BYTES", "ConvProblem", "Pair"]
