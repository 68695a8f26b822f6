"""The one table of convolutions that kernels are tested on, and the graphs made of them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from lilnetx.graph.ir import Add, Conv2d, Decoder, Graph, LatentWeight, Node, Op
from lilnetx.runtime.fuse import ACTIVATIONS

ACTIVATION_OPS: dict[str, type[Op]] = {name: op for op, name in ACTIVATIONS.items()}


@dataclass(frozen=True)
class ConvCase:
    """A convolution, what follows it, and how much of its weight is there."""

    channels: int
    filters: int
    size: tuple[int, int]
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    density: float = 0.5
    g: int = 1
    bias: bool = True
    residual: bool = False
    activation: str = "none"

    @property
    def op(self) -> Conv2d:
        return Conv2d(
            self.channels,
            self.filters,
            self.kernel,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )

    def __str__(self) -> str:
        """The test's id."""

        def pair(p: tuple[int, int]) -> str:
            return str(p[0]) if p[0] == p[1] else f"{p[0]},{p[1]}"

        parts = [f"k{pair(self.kernel)}s{pair(self.stride)}p{pair(self.padding)}"]
        parts.append(f"{self.channels}to{self.filters}@{self.size[0]}x{self.size[1]}")
        if self.dilation != (1, 1):
            parts.append(f"dil{pair(self.dilation)}")
        if self.groups > 1:
            parts.append(f"groups{self.groups}")
        parts.append(f"d{self.density}")
        if self.g > 1:
            parts.append(f"g{self.g}")
        if self.residual:
            parts.append("residual")
        if self.activation != "none":
            parts.append(self.activation)
        if not self.bias:
            parts.append("nobias")
        return "-".join(parts)


# ReLU more often than the others: it has the most kernels to itself.
_TURNS = ("none", "relu", "relu6", "silu", "none", "relu", "hardswish", "sigmoid", "hardsigmoid")


def _epilogues(i: int) -> dict[str, object]:
    """Every combination of bias, residual and activation, in turn."""
    return {
        "bias": i % 2 == 0,
        "residual": i // 2 % 2 == 1,
        "activation": _TURNS[i // 4 % len(_TURNS)],
    }


def _grid() -> list[ConvCase]:
    cases: list[ConvCase] = []

    def add(channels: int, filters: int, size: tuple[int, int], **more: object) -> None:
        cases.append(ConvCase(channels, filters, size, **{**_epilogues(len(cases)), **more}))  # type: ignore[arg-type]

    # 3x3 with padding 1: sizes below, at and above each tile, rows of 8, 16, 32, ... floats.
    for size in ((1, 1), (2, 3), (7, 7), (8, 7), (5, 8), (14, 14), (15, 13), (9, 15), (16, 16)):
        add(7, 3, size, padding=(1, 1))
    for size in (
        (28, 28),
        (13, 31),
        (9, 33),
        (17, 47),
        (6, 48),
        (56, 56),
        (3, 57),
        (5, 63),
        (4, 64),
    ):
        add(3, 5, size, padding=(1, 1))
    add(2, 2, (3, 130), padding=(1, 1))
    # Channel blocks: more channels than stay in the cache.
    add(130, 4, (14, 14), padding=(1, 1), density=0.1)
    add(70, 5, (28, 28), padding=(1, 1), density=0.5)
    add(150, 33, (7, 7), padding=(1, 1), density=0.1)
    # 3x3 with other padding.
    add(3, 5, (9, 11))
    add(5, 3, (8, 20), padding=(2, 2))
    add(3, 4, (6, 9), padding=(0, 1))
    add(3, 4, (6, 9), padding=(1, 0))
    add(2, 3, (5, 5), padding=(10, 12))
    # 3x3 with stride.
    for size in ((7, 7), (8, 8), (13, 14), (28, 28), (29, 31), (33, 57), (56, 56), (1, 1)):
        # Few filters a channel, and so many that the input's columns are parted in memory.
        add(7, 4, size, stride=(2, 2), padding=(1, 1))
        add(7, 25, size, stride=(2, 2), padding=(1, 1))
    add(3, 7, (9, 21), stride=(2, 1), padding=(1, 1))
    add(3, 7, (9, 21), stride=(1, 2), padding=(1, 1))
    add(3, 3, (17, 19), stride=(3, 3), padding=(1, 1))
    add(4, 3, (11, 40), stride=(2, 2))
    add(100, 3, (28, 28), stride=(2, 2), padding=(1, 1), density=0.3)
    add(100, 40, (28, 28), stride=(2, 2), padding=(1, 1), density=0.3)
    add(3, 4, (12, 19), stride=(2, 2), padding=(0, 1))
    add(3, 4, (12, 35), stride=(2, 2), padding=(2, 1))
    add(3, 4, (9, 65), stride=(2, 2), padding=(1, 1))
    add(3, 4, (60, 95), stride=(2, 2), padding=(1, 1))
    # Pointwise, single weights and slices of four channels, with what pads the last slice.
    for channels, filters, size in (
        (1, 1, (1, 1)),
        (3, 16, (7, 7)),
        (16, 7, (14, 14)),
        (33, 3, (28, 28)),
        (7, 33, (13, 57)),
        (130, 20, (7, 7)),
        (200, 9, (14, 14)),
        (90, 6, (56, 56)),
    ):
        for g in (1, 4):
            add(channels, filters, size, kernel=(1, 1), g=g)
    add(33, 7, (15, 15), kernel=(1, 1), stride=(2, 2), g=4)
    add(16, 9, (28, 28), kernel=(1, 1), stride=(2, 2))
    add(16, 5, (9, 9), kernel=(1, 1), stride=(2, 1))
    add(5, 4, (6, 6), kernel=(1, 1), padding=(1, 1))
    # Filters that share loads, with a last block that is not full.
    for filters in (3, 4, 7, 16):
        add(7, filters, (14, 14), kernel=(1, 1), density=1.0)
    add(33, 18, (7, 7), kernel=(1, 1), density=0.9)
    add(3, 10, (30, 30), kernel=(7, 7), stride=(2, 2), padding=(3, 3), density=1.0)
    add(1, 6, (28, 28), kernel=(5, 5), padding=(2, 2), density=1.0)
    add(3, 6, (13, 21), kernel=(3, 5), padding=(1, 2), density=1.0)
    add(8, 8, (9, 9), kernel=(5, 3), padding=(2, 1), groups=2, density=1.0)
    add(8, 8, (9, 9), kernel=(5, 5), padding=(2, 2), groups=2, density=1.0)
    # 5x5 in several channel blocks, with other rows of padding, and narrow.
    add(700, 3, (28, 28), kernel=(5, 5), padding=(2, 2), density=0.05)
    add(150, 4, (33, 70), kernel=(5, 5), stride=(2, 2), padding=(2, 2), density=0.1)
    add(4, 3, (10, 17), kernel=(5, 5), padding=(0, 2))
    add(4, 3, (10, 17), kernel=(5, 5), stride=(2, 2), padding=(1, 2))
    add(4, 3, (9, 7), kernel=(5, 5), padding=(1, 2))
    add(4, 3, (21, 13), kernel=(5, 5), stride=(2, 2), padding=(2, 2))
    add(4, 3, (21, 6), kernel=(5, 5), stride=(2, 2), padding=(2, 2))
    # Other kernels, dilation.
    add(7, 3, (13, 13), kernel=(5, 5), padding=(2, 2))
    add(3, 4, (28, 28), kernel=(5, 5), stride=(2, 2), padding=(2, 2))
    add(3, 3, (15, 17), kernel=(7, 7), padding=(3, 3))
    add(2, 3, (9, 40), kernel=(7, 7), stride=(2, 1), padding=(3, 3))
    add(5, 4, (11, 12), kernel=(1, 3), padding=(0, 1))
    add(5, 4, (11, 12), kernel=(3, 1), padding=(1, 0))
    add(3, 3, (12, 21), kernel=(2, 4), stride=(2, 2))
    add(3, 5, (9, 9), kernel=(4, 2), padding=(1, 1))
    add(7, 3, (14, 14), padding=(2, 2), dilation=(2, 2))
    add(3, 3, (16, 29), padding=(2, 3), dilation=(2, 3))
    add(3, 3, (17, 18), stride=(2, 2), padding=(2, 2), dilation=(2, 2))
    add(2, 2, (20, 21), kernel=(5, 3), padding=(4, 9), dilation=(2, 9))
    # Groups and depthwise.
    add(6, 9, (14, 14), padding=(1, 1), groups=3)
    add(16, 16, (7, 7), padding=(1, 1), groups=16)
    add(16, 32, (28, 28), padding=(1, 1), groups=16, density=1.0)
    add(7, 7, (15, 15), kernel=(5, 5), stride=(2, 2), padding=(2, 2), groups=7, density=1.0)
    # Depthwise: rows of 8 floats, of one vector, of several tiles; heights below, at and above each
    # tile; widths with and without gaps.
    for k, stride in ((3, 1), (3, 2), (5, 1), (5, 2)):
        window = {"kernel": (k, k), "stride": (stride, stride), "padding": (k // 2, k // 2)}
        for size in (
            (1, 1), (3, 2), (5, 6), (7, 7), (8, 8), (9, 8), (14, 14), (13, 15), (16, 16), (28, 28),
            (15, 31), (6, 32), (10, 45), (9, 47), (20, 56), (5, 63), (7, 64), (4, 79), (9, 112),
        ):  # fmt: skip
            add(5, 5, size, groups=5, density=0.9, **window)
        # Several filters a channel, a last row of tiles that overlaps, many channels.
        add(3, 9, (11, 20), groups=3, density=0.7, **window)
        add(70, 70, (7, 7), groups=70, density=0.5, **window)
        add(33, 33, (15, 14), groups=33, density=1.0, **window)
    # Depthwise that another kernel does: padding, dilation, stride, shape.
    add(4, 4, (9, 14), groups=4, density=1.0)
    add(4, 4, (12, 20), kernel=(5, 5), padding=(2, 1), groups=4, density=1.0)
    add(4, 4, (12, 20), padding=(0, 1), groups=4, density=1.0)
    add(4, 4, (12, 21), padding=(10, 1), groups=4, density=1.0)
    add(4, 8, (15, 15), padding=(2, 2), dilation=(2, 2), groups=4, density=1.0)
    add(4, 4, (15, 15), stride=(2, 1), padding=(1, 1), groups=4, density=1.0)
    add(4, 4, (15, 22), stride=(3, 3), padding=(1, 1), groups=4, density=1.0)
    add(4, 4, (14, 14), kernel=(7, 7), padding=(3, 3), groups=4, density=1.0)
    add(4, 4, (14, 14), kernel=(3, 5), padding=(1, 2), groups=4, density=1.0)
    add(6, 6, (14, 14), kernel=(1, 1), groups=6, density=1.0)
    # Groups of several channels, in one channel block or in many.
    add(64, 32, (14, 14), padding=(1, 1), groups=4)
    add(96, 16, (7, 7), padding=(1, 1), groups=2, density=0.3)
    add(300, 4, (28, 28), padding=(1, 1), groups=2, density=0.1)
    add(24, 16, (9, 9), kernel=(5, 5), stride=(2, 2), padding=(2, 2), groups=8)
    add(32, 32, (13, 13), kernel=(1, 1), groups=4, g=4)
    add(12, 8, (9, 9), kernel=(1, 1), groups=2, g=4)
    add(12, 8, (9, 9), kernel=(1, 1), groups=4, density=1.0)
    # Nothing left, everything left.
    for density in (0.0, 1.0):
        add(7, 5, (14, 14), padding=(1, 1), density=density)
        add(5, 3, (7, 7), padding=(1, 1), density=density)
        add(5, 5, (13, 13), stride=(2, 2), padding=(1, 1), density=density)
        add(16, 3, (10, 10), kernel=(1, 1), density=density, g=4)
        add(3, 4, (12, 12), kernel=(5, 5), padding=(2, 2), density=density)
    # Winograd's transform: rows of several tiles of columns, of one, of half a vector, narrower;
    # odd heights and widths; several blocks of channels.
    for width in (40, 33, 32, 17, 16, 14, 9, 8, 7, 3):
        for height in (1, 2, 7, 15):
            cases.append(ConvCase(5, 32, (height, width), padding=(1, 1), density=0.3))
    # So many channels that the image is transformed a band at a time; the first is high enough for
    # three threads to share the bands. Rows of one, two and four in a vector.
    for channels, size in ((40, (80, 70)), (200, (40, 30)), (300, (50, 14))):
        for activation in ("none", "relu", "silu"):
            residual = activation != "none"
            more = {"residual": residual, "activation": activation}
            cases.append(ConvCase(channels, 24, size, padding=(1, 1), density=0.3, **more))
    # 7x7 by Winograd: one band of rows and several, odd sizes, a last block that is not full.
    for channels, filters, size in (
        (3, 8, (32, 32)), (1, 9, (4, 31)), (16, 20, (27, 95)), (3, 12, (60, 223)),
        (2, 33, (19, 64)),
    ):  # fmt: skip
        for density in (0.5, 1.0):
            for activation in ("none", "relu", "relu6", "silu"):
                cases.append(
                    ConvCase(
                        channels,
                        filters,
                        size,
                        (7, 7),
                        (2, 2),
                        (3, 3),
                        density=density,
                        residual=activation != "none",
                        activation=activation,
                    )
                )
    for size in ((9, 35), (13, 14), (7, 7)):
        for activation in ("relu", "relu6", "silu"):
            cases.append(
                ConvCase(
                    600,
                    32,
                    size,
                    padding=(1, 1),
                    density=0.3,
                    residual=True,
                    activation=activation,
                )
            )
    return cases


CASES = _grid()


def random_decoder(n: int, rng: np.random.Generator, name: str = "d") -> Decoder:
    """A decoder whose weights are of order 1 for latents of a few units."""
    matrix = np.rint((np.eye(n) + rng.normal(0, 0.2, (n, n))) * 2**10).astype(np.int32)
    return Decoder(name, matrix, 11)


def random_latents(
    filters: int, slices: int, n: int, density: float, rng: np.random.Generator
) -> np.ndarray:
    """int32 ``(F, S, n)``; each slice is nonzero with probability ``density``."""
    latents = rng.integers(-3, 4, (filters, slices, n)).astype(np.int32)
    latents[..., 0] += latents[..., 0] == 0  # at least one tap of each slice is not zero
    return latents * (rng.random((filters, slices, 1)) < density).astype(np.int32)


def conv_node(
    name: str, source: str, case: ConvCase, decoder: str, rng: np.random.Generator
) -> Node:
    """A node of random weights whose outputs are of order 1."""
    op = case.op
    per_group = case.channels // case.groups
    pointwise = case.kernel == (1, 1)
    n = case.g if pointwise else case.kernel[0] * case.kernel[1]
    slices = -(-per_group // n) if pointwise else per_group
    latents = random_latents(case.filters, slices, n, case.density, rng)
    fan = max(1.0, per_group * case.kernel[0] * case.kernel[1] * case.density)
    scale = (rng.uniform(0.5, 1.5, case.filters) / np.sqrt(fan)).astype(np.float32)
    bias = rng.normal(0, 1, case.filters).astype(np.float32) if case.bias else None
    return Node(name, op, (source,), LatentWeight(latents, decoder), scale, bias)


def conv_graph(case: ConvCase, *, pointwise: bool = False) -> Graph:
    """The case as a network: a convolution, then addition and activation if it has them.

    The other operand of the addition is a convolution of the same shape. With ``pointwise`` a 1×1
    layer reads its input and another one its output, as further outputs: the runtime then lays
    images out without gaps.
    """
    rng = np.random.default_rng(zlib.crc32(str(case).encode()))
    n = case.g if case.kernel == (1, 1) else case.kernel[0] * case.kernel[1]
    decoder = random_decoder(n, rng)
    nodes = []
    if case.residual:
        nodes.append(conv_node("side", "x", case, "d", rng))
    nodes.append(conv_node("conv", "x", case, "d", rng))
    last = "conv"
    if case.residual:
        nodes.append(Node("add", Add(), ("conv", "side")))
        last = "add"
    if case.activation != "none":
        op = ACTIVATION_OPS[case.activation]()  # type: ignore[call-arg]  # They have no fields.
        nodes.append(Node("activation", op, (last,)))
        last = "activation"
    outputs, decoders = [last], {"d": decoder}
    if pointwise:
        decoders["p"] = random_decoder(1, rng)
        for name, source, channels in (("at", "x", case.channels), ("to", last, case.filters)):
            side = ConvCase(channels, 2, case.size, (1, 1))
            nodes.append(conv_node(name, source, side, "p", rng))
            outputs.append(name)
    return Graph("x", (case.channels, *case.size), tuple(nodes), tuple(outputs), decoders)
