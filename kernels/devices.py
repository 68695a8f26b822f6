"""What the cost model knows of GPUs: figures of their data sheets, and a few assumptions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Device:
    """A GPU.

    Attributes:
        name: As in tables.
        arch: ``"sm_80"`` and so on.
        sms: Multiprocessors.
        clock_ghz: Boost clock.
        fma_lanes: float32 multiply-adds of a multiprocessor and clock.
        tensor_tflops: Dense rate of the tensor cores in TFLOP/s, by how operands are multiplied:
            ``"float16"``, ``"bfloat16"``, ``"tf32"``.
        dram_gbs: Memory bandwidth, GB/s.
        l2_gbs: Bandwidth of the level-2 cache, GB/s (an assumption: no data sheet gives it).
        l1_bytes: Bytes that level 1 gives a multiprocessor in a clock.
        shared_bytes: Shared memory of a multiprocessor.
        max_threads: Resident threads of a multiprocessor.
        max_blocks: Resident blocks of a multiprocessor.
        registers: Registers of a multiprocessor.
        launch_us: From one kernel's end to the next one's start in a CUDA graph, in microseconds
            (an assumption).
    """

    name: str
    arch: str
    sms: int
    clock_ghz: float
    fma_lanes: int
    tensor_tflops: dict[str, float]
    dram_gbs: float
    l2_gbs: float
    l1_bytes: int = 128
    shared_bytes: int = 164 * 1024
    max_threads: int = 2048
    max_blocks: int = 32
    registers: int = 65536
    launch_us: float = 1.5

    @property
    def fma_tflops(self) -> float:
        """float32 TFLOP/s without tensor cores."""
        return 2 * self.sms * self.fma_lanes * self.clock_ghz / 1e3

    def tensor_rate(self, dtype: str, precision: str) -> float:
        """TFLOP/s of products of that kind; three TF32 products make one ``"tf32x3"``."""
        if dtype != "float32":
            return self.tensor_tflops[dtype]
        if precision == "ieee":
            return self.fma_tflops
        return self.tensor_tflops["tf32"] / (3 if precision == "tf32x3" else 1)

    def occupancy(self, threads: int, registers: int, shared_bytes: int) -> int:
        """Blocks of a multiprocessor that are resident at once; at least 1."""
        # Registers are given to warps in units of 256.
        warp_registers = -(-max(registers, 1) * 32 // 256) * 256
        limits = [
            self.max_blocks,
            self.max_threads // threads,
            self.registers // (warp_registers * (threads // 32)),
        ]
        if shared_bytes:
            # The driver keeps a kilobyte of each block.
            limits.append(self.shared_bytes // (shared_bytes + 1024))
        return max(1, min(limits))


A100 = Device(
    "A100 SXM 80 GB",
    "sm_80",
    sms=108,
    clock_ghz=1.41,
    fma_lanes=64,
    tensor_tflops={"float16": 312.0, "bfloat16": 312.0, "tf32": 156.0},
    dram_gbs=2039.0,
    l2_gbs=4000.0,
)
H100 = Device(
    "H100 SXM 80 GB",
    "sm_90",
    sms=132,
    clock_ghz=1.83,
    fma_lanes=128,
    tensor_tflops={"float16": 989.0, "bfloat16": 989.0, "tf32": 494.0},
    dram_gbs=3350.0,
    l2_gbs=5500.0,
    shared_bytes=228 * 1024,
)
DEVICES = {device.arch: device for device in (A100, H100)}


def device_of(arch: str) -> Device:
    """The nearest known GPU: that of the architecture, or else the newest one that is older.

    Args:
        arch: ``"sm_86"`` and so on.
    """
    number = int("".join(c for c in arch if c.isdigit()) or 0)
    older = [d for d in DEVICES.values() if int(d.arch[3:]) <= number]
    return max(older, key=lambda d: int(d.arch[3:]), default=A100)


__all__ = ["A100", "DEVICES", "H100", "Device", "device_of"]
