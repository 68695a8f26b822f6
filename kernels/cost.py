"""The cost model: how long each form should take, from data sheets and counts of work.

Each estimate is the largest of what the layer needs of each part of the machine, by the share of
the multiprocessors that have work, and the time to start a kernel:

    time = launch + max(arithmetic, level 1, level 2, memory, latency) / share of full waves

Level 2 carries what blocks load, memory what must be moved once. Latency is the chain of loads that
one program waits for, over all waves of programs. The constants below say what is assumed; nothing
here is fitted to a measurement.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .configs import WARP, GatheredConfig, UnionConfig
from .devices import Device
from .problem import ConvProblem

# Share of the peak that a loop of matrix products reaches.
TENSOR_EFFICIENCY = 0.6
# Share of the memory's and caches' bandwidth that loads reach.
BANDWIDTH_EFFICIENCY = 0.8
# Share of the peak that the vendor's dense convolution reaches, float16 as well as float32.
DENSE_EFFICIENCY = 0.7
# Clocks until a load from level 2 arrives, and between the steps of a loop whose loads are
# prefetched.
LOAD_CLOCKS = 300
STEP_CLOCKS = 80
# Registers of a thread where no compiled code is at hand.
GATHERED_REGISTERS = 40
UNION_REGISTERS = 128


@dataclass(frozen=True)
class Estimate:
    """A predicted time and what it comes from, all in microseconds but ``share``.

    Attributes:
        launch: Starting the kernel.
        arithmetic: Multiplications.
        level1: Loads by the multiprocessors.
        level2: What blocks read of level 2.
        memory: What is read and written at least once.
        latency: What programs wait for.
        share: Of the multiprocessors' time in which they have work, 0 to 1.
        bytes: Moved from and to memory at least.
        operations: Computed, two for each multiply-add, zeros that are multiplied too.
    """

    launch: float
    arithmetic: float
    level1: float
    level2: float
    memory: float
    latency: float
    share: float
    bytes: int
    operations: int

    @property
    def bound(self) -> str:
        """What takes longest."""
        parts = ("arithmetic", "level1", "level2", "memory", "latency")
        return max(parts, key=lambda part: float(getattr(self, part)))

    @property
    def total(self) -> float:
        """Microseconds."""
        # Latency counts waves already; memory and level 2 serve whoever is there.
        spread = max(self.arithmetic, self.level1) / self.share
        return self.launch + max(spread, self.level2, self.memory, self.latency)


def gathered_cost(
    problem: ConvProblem,
    config: GatheredConfig,
    device: Device,
    inner: int,
    *,
    registers: int = GATHERED_REGISTERS,
    vector: int | None = None,
) -> Estimate:
    """Form (a) with a block size.

    Args:
        problem: What is to be computed.
        config: Blocks.
        device: Where.
        inner: Images that lie innermost; 1 for planes of pixels.
        registers: Of a thread.
        vector: Activations that a thread loads at once; None for what Triton's kernel can.
    """
    item = problem.item_bytes
    outer = problem.images // inner
    blocks = math.ceil(problem.pixels * inner / config.block)
    programs = blocks * problem.filters * outer
    threads = config.warps * WARP
    resident = device.sms * device.occupancy(threads, registers, 0)
    # Multiply-adds of full blocks, what lies beside the image too.
    used = problem.pixels * inner / (blocks * config.block)
    macs = problem.macs_left / used if problem.macs_left else 0.0
    if vector is None:
        wide = inner % (16 // item) == 0 or (problem.flat and problem.pixels % (16 // item) == 0)
        vector = 16 // item if wide else 1
    # Wavefronts of level 1 for the elements of a warp under one tap, and one for its weight.
    loads = config.elements / vector * max(1.0, WARP * vector * item / device.l1_bytes) + 1
    clock = device.clock_ghz * 1e3 * device.sms  # of all multiprocessors, in a microsecond
    slices = problem.slices / max(problem.filters, 1)
    input_bytes = problem.channels * problem.size[0] * problem.size[1] * problem.images * item
    moved = input_bytes + _output_bytes(problem) + _slice_bytes(problem)
    # Each program reads its slices' pixels; taps of a slice find them in level 1.
    rows = problem.stride[0] * problem.stride[1] if problem.taps > 1 else 1
    read = programs * config.block * slices * problem.slice_channels * rows * item
    waves = math.ceil(programs / resident)
    trips = math.ceil(slices / config.unroll) + 2
    return Estimate(
        launch=device.launch_us,
        arithmetic=macs / device.fma_lanes / clock,
        level1=macs / WARP / config.elements * loads / clock,
        level2=read / (device.l2_gbs * 1e3 * BANDWIDTH_EFFICIENCY),
        memory=moved / (device.dram_gbs * 1e3 * BANDWIDTH_EFFICIENCY),
        latency=waves * trips * LOAD_CLOCKS / (device.clock_ghz * 1e3),
        share=_share(programs, device),
        bytes=round(moved),
        operations=2 * round(macs),
    )


def union_cost(
    problem: ConvProblem,
    config: UnionConfig,
    device: Device,
    blocks: int,
    union_channels: int,
    *,
    precision: str = "tf32x3",
    registers: int = UNION_REGISTERS,
    shared_bytes: int | None = None,
) -> Estimate:
    """Form (b) with a block size.

    Args:
        problem: What is to be computed.
        config: Blocks.
        device: Where.
        blocks: Blocks of filters.
        union_channels: Channels of all blocks together, each padded to ``config.channels``.
        precision: Of float32 products.
        registers: Of a thread.
        shared_bytes: Of a block, if known from compiled code.
    """
    item = problem.item_bytes
    rows = math.ceil(problem.pixels * problem.images / config.pixels)
    programs = rows * blocks
    if shared_bytes is None:
        shared_bytes = config.shared_bytes(item)
    resident = device.sms * device.occupancy(config.threads, registers, shared_bytes)
    macs = rows * config.pixels * union_channels * config.filters * problem.taps
    rate = device.tensor_rate(problem.dtype, precision) * 1e6 * TENSOR_EFFICIENCY
    # Small blocks give a tensor core too few products between loads of their operands, and short
    # rows too few between two steps of the loop.
    rate *= min(1.0, config.pixels * config.filters / (64 * 64)) ** 0.5
    rate *= min(1.0, config.channels * item / 128) ** 0.5
    loaded = union_channels * problem.taps * (config.pixels + config.filters) * rows * item
    weights = union_channels * problem.taps * config.filters * item
    input_bytes = problem.channels * problem.size[0] * problem.size[1] * problem.images * item
    moved = input_bytes + _output_bytes(problem) + weights
    steps = union_channels / max(blocks, 1) / config.channels * problem.taps
    waves = math.ceil(programs / resident)
    clocks = waves * (2 * LOAD_CLOCKS + steps * STEP_CLOCKS)
    return Estimate(
        launch=device.launch_us,
        arithmetic=2 * macs / rate,
        level1=loaded / (device.l1_bytes * device.sms * device.clock_ghz * 1e3),
        level2=loaded / (device.l2_gbs * 1e3 * BANDWIDTH_EFFICIENCY),
        memory=moved / (device.dram_gbs * 1e3 * BANDWIDTH_EFFICIENCY),
        latency=clocks / (device.clock_ghz * 1e3),
        share=_share(programs, device),
        bytes=round(moved),
        operations=2 * round(macs),
    )


def dense_cost(problem: ConvProblem, device: Device, *, precision: str = "ieee") -> Estimate:
    """The vendor's dense convolution, as a roofline: its kernels are not ours to count."""
    item = problem.item_bytes
    rate = device.tensor_rate(problem.dtype, precision) * 1e6 * DENSE_EFFICIENCY
    weights = problem.filters * problem.group_channels * problem.taps * item
    input_bytes = problem.channels * problem.size[0] * problem.size[1] * problem.images * item
    moved = input_bytes + _output_bytes(problem) + weights
    tiles = math.ceil(problem.pixels * problem.images / 128) * math.ceil(problem.filters / 64)
    steps = problem.group_channels * problem.taps / 32
    clocks = 2 * LOAD_CLOCKS + steps * STEP_CLOCKS / max(1.0, min(8.0, device.sms / tiles))
    return Estimate(
        launch=device.launch_us,
        arithmetic=2 * problem.macs_dense / rate,
        level1=0.0,
        level2=0.0,
        memory=moved / (device.dram_gbs * 1e3 * BANDWIDTH_EFFICIENCY),
        latency=clocks / (device.clock_ghz * 1e3),
        share=1.0,
        bytes=round(moved),
        operations=2 * problem.macs_dense,
    )


def _output_bytes(problem: ConvProblem) -> int:
    outputs = problem.images * problem.filters * problem.pixels
    return outputs * problem.item_bytes * (2 if problem.residual else 1)


def _slice_bytes(problem: ConvProblem) -> int:
    return problem.slices * (2 + 4 * problem.taps * problem.slice_channels)


def _share(programs: int, device: Device) -> float:
    """Share of the multiprocessors that have work, the last round of programs included."""
    rounds = math.ceil(programs / device.sms)
    return programs / (rounds * device.sms) if rounds else 1.0


__all__ = ["Estimate", "dense_cost", "gathered_cost", "union_cost"]
