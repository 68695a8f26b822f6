"""What nvcc made of the CUDA kernels, read from the built extension; no GPU is needed."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shutil
import subprocess
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from lilnetx.errors import MissingExtraError

from .control_flow import Flow, read_flow
from .disassembly import read_resources, read_sass

_core: Any = importlib.import_module("lilnetx._core")

_NAME = re.compile(
    r"lnx_(?P<type>f32|f16|bf16|tf32|tf32x3)_(?P<form>[gu])conv(?P<window>\dx\d)?(?:s1)?"
    r"_(?P<rows>\d+)x(?P<columns>\d+)__cuda"
)
_DTYPES = {"f16": "float16", "bf16": "bfloat16"}
_MULTIPLY = {"a": re.compile(r"\bFFMA\b"), "b": re.compile(r"\bHMMA\b")}
_THREADS = 128  # of a block, all kernels
_LIST_FILTERS, _LIST_LANES = 4, 32
# Shared memory of a block, bytes.
_SHARED_LIMITS = {"sm_80": 163 << 10, "sm_90": 227 << 10}
# What the code of form (b), which takes any window, is asked to compute.
_WINDOWS_B = [(1, 1), (3, 3), (7, 7)]
_ANY = (0, 0)


def find_tool(name: str) -> str | None:
    """Path of NVIDIA's ``cuobjdump`` or ``nvdisasm``: on the path, or as Triton brings it along."""
    if found := shutil.which(name):
        return found
    spec = importlib.util.find_spec("triton")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "backends" / "nvidia" / "bin" / name
    return str(path) if path.exists() else None


def read_kernels(library: str) -> list[tuple[str, str, Flow, dict[str, int]]]:
    """Architecture, name, code and resources of each kernel in an extension or object file.

    Args:
        library: Path of the file.

    Raises:
        MissingExtraError: There is no disassembler.
    """
    kernels = []
    with tempfile.TemporaryDirectory() as folder:
        _run("cuobjdump", "-xelf", "all", library, folder=folder)
        for cubin in sorted(Path(folder).glob("*.cubin")):
            arch = cubin.name.split(".")[-2]
            usage = _run("cuobjdump", "-res-usage", str(cubin), folder=folder)
            resources = {
                name: read_resources(line)
                for name, line in re.findall(r"Function (\S+):\s*\n(.*)", usage)
            }
            flows = read_flow(_run("nvdisasm", "-bbcfg", str(cubin), folder=folder))
            # Without functions that kernels call, as for the division of unusual numbers.
            kernels += [(arch, name, flows[name], resources[name]) for name in resources]
    return kernels


def loops_that_multiply(flow: Flow, form: str, *, outer: bool) -> set[str]:
    """Blocks of the loops that multiply.

    Args:
        flow: A kernel.
        form: ``"a"`` or ``"b"``.
        outer: The outermost of loops within each other, or the innermost.
    """
    multiplies = _MULTIPLY[form]
    loops = [
        loop
        for loop in flow.loops
        if any(multiplies.search(line) for line in flow.instructions(loop))
    ]
    kept = (a for a in loops if not any(a < b if outer else b < a for b in loops))
    return set().union(*kept)


def rows(library: str) -> list[dict[str, Any]]:
    """A row of the format in this folder's README for each convolution kernel and window.

    ``loop_loads`` of form (b) are those of the outer loop: copies run ahead of the inner one.

    Args:
        library: Path of the extension.

    Raises:
        MissingExtraError: There is no disassembler.
    """
    return [
        row
        for arch, name, flow, resources in read_kernels(library)
        if (match := _NAME.fullmatch(name))
        for row in _kernel_rows(arch, match, flow, resources)
    ]


def _kernel_rows(
    arch: str, match: re.Match[str], flow: Flow, resources: dict[str, int]
) -> list[dict[str, Any]]:
    form = "a" if match["form"] == "g" else "b"
    dtype = _DTYPES.get(match["type"], "float32")
    precision = match["type"] if match["type"].startswith("tf32") else "ieee"
    facts = asdict(read_sass("\n".join(flow.instructions())))
    loop = loops_that_multiply(flow, form, outer=form == "b")
    facts["loop_loads"] = read_sass("\n".join(flow.instructions(loop))).loads
    size = (int(match["rows"]), int(match["columns"]))
    found: list[tuple[tuple[int, int], dict[str, int], int]]
    if form == "a":
        h, w = map(int, match["window"].split("x")) if match["window"] else _ANY
        tile = {"pixels": size[0] * size[1] * _LIST_LANES, "filters": _LIST_FILTERS}
        # Slices are staged as many at once as fit: of 9 weights where any length is taken.
        found = [((h, w), tile, _core.cuda_lists_shared_bytes(h * w or 9))]
    else:
        tile = {"pixels": size[1], "filters": size[0], "channels": 16, "stages": 2}
        shared = partial(_blocks_shared, dtype, precision, size[1] // 8, _SHARED_LIMITS[arch])
        found = [(window, tile, shared(window)) for window in _WINDOWS_B]
    return [
        {
            "kernel": match[0],
            "backend": "cuda",
            "form": form,
            "arch": arch,
            "dtype": dtype,
            "precision": precision,
            "window": list(window),
            "slice_channels": 1,
            "tile": tile,
            "threads": _THREADS,
            "registers": resources["REG"],
            "shared_bytes": shared_bytes,  # all of it dynamic
            "local_bytes": resources["STACK"] + resources["LOCAL"],
            **facts,
        }
        for window, tile, shared_bytes in found
    ]


def _blocks_shared(
    dtype: str, precision: str, tile_runs: int, limit: int, window: tuple[int, int]
) -> int:
    """Bytes of shared memory of form (b) for images of 56x56 pixels, stride 1."""
    padding = (window[0] // 2, window[1] // 2)
    plane = (56 * 56 * 64, 56 * 56, 56)
    conv = _core.CudaConv(
        dtype=dtype,
        input_shape=(1, 64, 56, 56),
        filters=64,
        groups=1,
        window=(*window, 1, 1, *padding, 1, 1),
        input=16,
        input_strides=plane,
        output=16,
        output_strides=plane,
        residual=0,
        bias=0,
        activation="none",
        stream=0,
    )
    name = {"ieee": dtype, "tf32x3": "float32"}.get(precision, precision)
    tile = _core.cuda_blocks_tile(
        conv, precision=name, blocks=2, tile_runs=tile_runs, shared_limit=limit
    )
    return int(tile[2])


def _run(name: str, *arguments: str, folder: str) -> str:
    tool = find_tool(name)
    if tool is None:
        raise MissingExtraError("triton", "triton", f"reading machine code by {name}")
    command = [tool, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


__all__ = ["find_tool", "loops_that_multiply", "read_kernels", "rows"]
