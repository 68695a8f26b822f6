"""Block sizes worth trying, and the rule that leaves out those that cannot be good."""

from __future__ import annotations

from dataclasses import dataclass

from .devices import Device
from .problem import ConvProblem

WARP = 32
# The smallest block that `tl.dot` takes in each dimension.
MIN_DOT = 16
# Accumulators of a thread beyond which registers spill, as read from compiled code. Three TF32
# products keep high and low parts of both operands as well; filters out of order, or a number of
# them that is no multiple of 8, need an address for each output.
_MAX_ACCUMULATORS = 64
_MAX_ACCUMULATORS_CROWDED = 32


@dataclass(frozen=True)
class GatheredConfig:
    """Block of form (a).

    Attributes:
        block: Outputs of a program.
        warps: Of a program.
        unroll: Slices whose loads are under way at once.
    """

    block: int
    warps: int
    unroll: int

    @property
    def elements(self) -> int:
        """Outputs of a thread."""
        return self.block // (self.warps * WARP)


@dataclass(frozen=True)
class UnionConfig:
    """Block of form (b).

    Attributes:
        pixels: Rows of the products.
        filters: Columns.
        channels: Products' inner dimension.
        warps: Of a program.
        stages: Steps of the loop whose loads are under way at once.
    """

    pixels: int
    filters: int
    channels: int
    warps: int
    stages: int

    @property
    def threads(self) -> int:
        """Threads of a program."""
        return self.warps * WARP

    @property
    def crowded(self) -> bool:
        """Whether a thread has too many accumulators for filters out of order."""
        return self.pixels * self.filters > _MAX_ACCUMULATORS_CROWDED * self.threads

    def shared_bytes(self, item_bytes: int) -> int:
        """Shared memory that the loads under way take, in bytes."""
        return self.stages * (self.pixels + self.filters) * self.channels * item_bytes


def gathered_configs(problem: ConvProblem, inner: int) -> list[GatheredConfig]:
    """Blocks for form (a), not larger than the image needs.

    Args:
        problem: What is to be computed.
        inner: Images that lie innermost; 1 for planes of pixels.
    """
    outputs = problem.pixels * inner
    vector = 16 // problem.item_bytes
    # A pointwise slice is a few loads only: several slices together hide their latency.
    unroll = max(1, 8 // (problem.taps * problem.slice_channels))
    found = []
    for elements in sorted({4, vector}):
        for warps in (1, 2, 4, 8):
            block = elements * warps * WARP
            # The smallest block always stays, larger ones only where more than half is used.
            if warps == 1 or block // 2 < outputs:
                found.append(GatheredConfig(block, warps, unroll))
    return found


def union_configs(
    problem: ConvProblem, device: Device, precision: str, run: int = 1
) -> list[UnionConfig]:
    """Blocks for form (b) that fit the layer and the device; at least one.

    Args:
        problem: What is to be computed.
        device: Where.
        precision: Of float32 products.
        run: Channels of a run, which a block of channels holds whole.
    """
    item = problem.item_bytes
    crowded = (problem.dtype == "float32" and precision != "tf32") or problem.filters % 8 != 0
    most = _MAX_ACCUMULATORS_CROWDED if crowded else _MAX_ACCUMULATORS
    pixels = max(MIN_DOT, _power_of_2(problem.pixels * problem.images))
    filters = max(MIN_DOT, _power_of_2(problem.filters // problem.groups))
    channels = max(MIN_DOT, run, _power_of_2(problem.group_channels))
    found = [
        config
        for config in _UNION_CONFIGS
        if config.pixels <= pixels
        and config.filters <= filters
        and config.channels <= channels
        and config.pixels * config.filters <= most * config.threads
        and config.shared_bytes(item) <= device.shared_bytes - 1024
        # Each thread loads at least 16 bytes of both operands.
        and min(config.pixels, config.filters) * config.channels * item >= 16 * config.threads
    ]
    return found or [UnionConfig(MIN_DOT, MIN_DOT, max(MIN_DOT, run), 1, 2)]


_UNION_CONFIGS = [
    UnionConfig(pixels, filters, channels, warps, stages)
    for pixels, filters, warps in (
        (128, 128, 8),
        (128, 64, 8),
        (128, 64, 4),
        (64, 128, 4),
        (64, 64, 4),
        (128, 32, 4),
        (64, 32, 4),
        (32, 64, 4),
        (32, 32, 2),
        (16, 64, 2),
        (64, 16, 4),
        (16, 16, 1),
    )
    for channels, stages in ((16, 4), (32, 3), (32, 4), (64, 3))
]


def _power_of_2(n: int) -> int:
    return 1 << max(0, n - 1).bit_length()


__all__ = ["MIN_DOT", "WARP", "GatheredConfig", "UnionConfig", "gathered_configs", "union_configs"]
