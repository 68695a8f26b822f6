"""What one core can do at most, measured: the roofs that kernels are compared with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lilnetx import _core

_CPUS = Path("/sys/devices/system/cpu")
# Where the system does not say: sizes that most machines of the last ten years have at least.
_USUAL_CACHES = {"L1": 32 * 1024, "L2": 256 * 1024, "L3": 4 * 1024 * 1024}
_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}


@dataclass(frozen=True)
class Peak:
    """The roofs of one core.

    Attributes:
        isa: Instruction set that they were measured with.
        gflops: Multiply-adds on registers, GFLOP/s (two operations each).
        load_gbs: Loads by level, GB/s: half of each cache, and four times the last one as
            ``"memory"``.
        cache_bytes: Size of each cache.
    """

    isa: str
    gflops: float
    load_gbs: dict[str, float]
    cache_bytes: dict[str, int]


def measure_peak(isa: str, seconds: float = 0.02) -> Peak:
    """Measure all roofs of the core that this runs on.

    Args:
        isa: An available instruction set.
        seconds: Time for each roof.

    Raises:
        ValueError: This machine lacks that instruction set.
    """
    caches = cache_bytes()
    loads = {
        level: _core.measure_load_gbs(isa, size // 2, seconds) for level, size in caches.items()
    }
    loads["memory"] = _core.measure_load_gbs(isa, 4 * max(caches.values()), seconds)
    return Peak(isa, _core.measure_fma_gflops(isa, seconds), loads, caches)


def cache_bytes(cpus: Path = _CPUS) -> dict[str, int]:
    """Bytes of each level of data cache of the processor in use, by level: ``"L1"``, ``"L2"``..."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    found = {}
    try:
        for index in sorted((cpus / f"cpu{cores[0]}" / "cache").glob("index*")):
            if (index / "type").read_text().strip() != "Instruction":
                size = (index / "size").read_text().strip()
                level = f"L{(index / 'level').read_text().strip()}"
                found[level] = int(size[:-1]) * _UNITS[size[-1]]
    except (OSError, KeyError, ValueError):
        found = {}
    return found or dict(_USUAL_CACHES)
