"""What compilers made of a kernel, read from its disassembly: loads, multiplications, spills.

Works on the text of ``nvdisasm`` and ``cuobjdump -sass`` (SASS) and on AMD's assembly, whichever
compiler the code came from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Bytes of a thread's load -> instructions.
Loads = dict[str, int]

_SIZES = ("16", "8", "4", "2", "1")
_SASS_LINE = re.compile(r"^\s*(?:/\*(?P<address>[0-9a-f]{4,})\*/)?\s*(?P<text>[^/;]+);")
_SASS_LABEL = re.compile(r"^\s*(\.L_x_\d+|\.L_\d+):")
_SASS_BRANCH = re.compile(
    r"\bBRA(?:\.\w+)*\s+(?:!?U?P\w+,\s*)?(?:`\((?P<label>[^)]+)\)|(?P<to>0x[0-9a-f]+))"
)
_SASS_LOAD = re.compile(r"\b(?:LDGSTS|LDG)((?:\.\w+)*)")
_SASS_LOCAL = re.compile(r"\b(?:STL|LDL)((?:\.\w+)*)")
_AMD_LOAD = re.compile(r"\b(?:global|buffer|flat)_load_(\w+)")
_AMD_SIZES = {
    "dwordx4": "16", "dwordx3": "8", "dwordx2": "8", "dword": "4", "ushort": "2", "sshort": "2",
    "short_d16": "2", "short_d16_hi": "2", "ubyte": "1", "sbyte": "1",
}  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """Counts of instructions; see the row format in this folder's README."""

    mma: int
    wgmma: int
    fma: int
    loads: Loads
    loop_loads: Loads
    spill_bytes: int


def read_sass(text: str) -> Facts:
    """Facts of one kernel's SASS.

    Args:
        text: Of one kernel: the output of ``nvdisasm -c`` or ``cuobjdump -sass``.
    """
    lines: list[str] = []
    places: dict[str, int] = {}
    branches: list[tuple[int, str]] = []
    for line in text.splitlines():
        if label := _SASS_LABEL.match(line):
            places[label[1]] = len(lines)
            continue
        if not (found := _SASS_LINE.match(line)):
            continue
        if found["address"]:
            places[hex(int(found["address"], 16))] = len(lines)
        if branch := _SASS_BRANCH.search(found["text"]):
            branches.append((len(lines), branch["label"] or hex(int(branch["to"], 16))))
        lines.append(found["text"])
    multiplies = re.compile(r"\b(HGMMA|HMMA|IMMA|FFMA|HFMA2)\b")
    loop = _innermost(lines, places, branches, multiplies)
    return Facts(
        mma=_count(lines, r"\b(HMMA|IMMA)\b"),
        wgmma=_count(lines, r"\b(HGMMA|IGMMA)\b"),
        fma=_count(lines, r"\b(FFMA|HFMA2)\b"),
        loads=_sass_loads(lines),
        loop_loads=_sass_loads(loop),
        spill_bytes=sum(_sass_bytes(s) for line in lines for s in _SASS_LOCAL.findall(line)),
    )


def read_amdgcn(text: str) -> Facts:
    """Facts of one kernel's AMD assembly, as Triton gives it."""
    lines: list[str] = []
    places: dict[str, int] = {}
    branches: list[tuple[int, str]] = []
    for line in text.splitlines():
        if label := re.match(r"^(\.LBB\w+):", line):
            places[label[1]] = len(lines)
        elif found := re.match(r"^\s+((?:v|s|global|buffer|flat|ds|scratch)_\S+.*)", line):
            if branch := re.search(r"s_c?branch\w*\s+(\.LBB\w+)", found[1]):
                branches.append((len(lines), branch[1]))
            lines.append(found[1])
    loop = _innermost(lines, places, branches, re.compile(r"\bv_(mfma|pk_fma|fma|fmac)_"))
    spilled = [int(n) for n in re.findall(r"\.[vs]gpr_spill_count:\s*(\d+)", text)]
    return Facts(
        mma=_count(lines, r"\bv_mfma_"),
        wgmma=0,
        fma=_count(lines, r"\bv_(pk_fma|fma|fmac)_"),
        loads=_amd_loads(lines),
        loop_loads=_amd_loads(loop),
        spill_bytes=4 * sum(spilled),
    )


def read_resources(text: str) -> dict[str, int]:
    """``REG``, ``STACK``, ``SHARED`` and ``LOCAL`` of ``cuobjdump -res-usage``, one kernel."""
    return {name: int(n) for name, n in re.findall(r"\b(REG|STACK|SHARED|LOCAL):(\d+)", text)}


def _innermost(
    lines: list[str],
    places: dict[str, int],
    branches: list[tuple[int, str]],
    multiplies: re.Pattern[str],
) -> list[str]:
    """The instructions of the innermost loops that multiply."""
    loops = []
    for at, label in branches:
        start = places.get(label, at)
        if start < at and any(multiplies.search(line) for line in lines[start : at + 1]):
            loops.append((start, at))
    inner = [
        (start, end)
        for start, end in loops
        if not any((a, b) != (start, end) and start <= a and b <= end for a, b in loops)
    ]
    return [line for start, end in inner for line in lines[start : end + 1]]


def _count(lines: list[str], pattern: str) -> int:
    return sum(len(re.findall(pattern, line)) for line in lines)


def _sass_bytes(suffix: str) -> int:
    for mark, size in ((".128", 16), (".64", 8), (".U16", 2), (".S16", 2), (".U8", 1), (".S8", 1)):
        if mark in suffix:
            return size
    return 4


def _sass_loads(lines: list[str]) -> Loads:
    loads = dict.fromkeys(_SIZES, 0)
    for line in lines:
        for suffix in _SASS_LOAD.findall(line):
            loads[str(_sass_bytes(suffix))] += 1
    return loads


def _amd_loads(lines: list[str]) -> Loads:
    loads = dict.fromkeys(_SIZES, 0)
    for line in lines:
        for kind in _AMD_LOAD.findall(line):
            loads[_AMD_SIZES.get(kind, "4")] += 1
    return loads


__all__ = ["Facts", "read_amdgcn", "read_resources", "read_sass"]
