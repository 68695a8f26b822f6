"""Builds the CUDA emulator with the kernels of csrc/cuda, and runs jobs in it."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
EMULATOR = ROOT / "tests" / "cuda" / "emulator"
# Sanitizers to build with, as LILNETX_EMULATOR_SANITIZE=address,undefined or thread.
SANITIZE = os.environ.get("LILNETX_EMULATOR_SANITIZE", "")
# All threads of a kernel share the emulator's own state, which is not what ThreadSanitizer is for.
UNSEEN_BY_TSAN = {"machine.cpp", "collective.cpp", "fiber.cpp", "memory.cpp", "races.cpp"}


def _sources() -> list[Path]:
    cuda = ROOT / "csrc" / "cuda"
    return [
        *sorted(EMULATOR.glob("*.c*")),
        *sorted(cuda.rglob("*.cu")),
        cuda / "filter_blocks.cpp",
        ROOT / "csrc" / "cpu" / "activation.cpp",
    ]


def _flags(source: Path) -> list[str]:
    flags = ["-std=c++17", "-O1", "-g1", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]
    # glibc's checked longjmp takes a switch of stacks for a mistake.
    flags += ["-U_FORTIFY_SOURCE", f"-I{EMULATOR}", f"-I{ROOT}/csrc", f"-I{ROOT}/csrc/include"]
    if SANITIZE == "thread":
        flags += ["-DLNX_EMULATED_TSAN"]
        # memcpy stays a call, which the sanitizer sees even so.
        flags += ["-fno-builtin"] if source.name in UNSEEN_BY_TSAN else ["-fsanitize=thread"]
    elif SANITIZE:
        flags += [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all"]
    return flags


@cache
def program() -> Path:
    """The emulator, built unless one of the same sources and flags is there.

    Raises:
        pytest.skip.Exception: There is no C++ compiler.
    """
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"the C++ compiler {compiler[0]} is missing")
    sources = _sources()
    text = hashlib.sha256(repr((compiler, [_flags(s)[1:] for s in sources])).encode())
    headers = [*EMULATOR.glob("*.h"), *(ROOT / "csrc").rglob("cuda/**/*.*h")]
    headers += [*(ROOT / "csrc" / "include").rglob("*.h"), *(ROOT / "tests" / "cpp").glob("*.h")]
    for path in [*sources, *sorted(set(headers))]:
        text.update(path.read_bytes())
    folder = ROOT / "build" / "cuda-emulator"
    target = folder / f"emulator-{SANITIZE.replace(',', '-') or 'plain'}-{text.hexdigest()[:16]}"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"emulator-{SANITIZE.replace(',', '-') or 'plain'}-*"):
        old.unlink()
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        objects = []
        for source in sources:
            objects.append(f"{scratch}/{source.stem}.o")
            command = [*compiler, "-x", "c++", *_flags(source), "-c", str(source)]
            subprocess.run([*command, "-o", objects[-1]], check=True)
        link = [f"-fsanitize={SANITIZE}"] if SANITIZE else []
        built = Path(scratch) / "emulator"
        subprocess.run([*compiler, *link, *objects, "-o", str(built)], check=True)
        built.rename(target)
    return target


@dataclass(frozen=True)
class Result:
    """What came of a job: an error's message, or the bytes of its output."""

    error: str
    output: bytes

    def values(self, dtype: Any) -> np.ndarray:
        assert not self.error, self.error
        return np.frombuffer(self.output, dtype)


class Jobs:
    """A file of jobs; see tests/cuda/emulator/jobs.cpp for the order of their values."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def add(self, kind: str, *values: Any, order: int = 0, late_copies: bool = True) -> None:
        """Writes integers, texts, float32 arrays, other arrays and lists (as integers), bytes."""
        for value in (kind, order, int(late_copies), *values):
            if isinstance(value, int):
                self.parts.append(struct.pack("<q", value))
                continue
            if isinstance(value, str):
                value = value.encode()
            if not isinstance(value, bytes):
                array = np.asarray(value)
                value = array.astype("<f4" if array.dtype == np.float32 else "<i8")
            self.parts.append(struct.pack("<q", len(value)))
            self.parts.append(value if isinstance(value, bytes) else value.tobytes())

    def run(self) -> list[Result]:
        """Runs all jobs in one process of the emulator.

        Raises:
            AssertionError: The process failed, as when a sanitizer found something.
        """
        emulator = program()
        with tempfile.TemporaryDirectory() as folder:
            jobs, results = Path(folder) / "jobs", Path(folder) / "results"
            jobs.write_bytes(b"".join(self.parts))
            # Leaks: what a kernel that was stopped in the middle held.
            environment = {
                **os.environ,
                "ASAN_OPTIONS": "detect_leaks=0",
                "TSAN_OPTIONS": "halt_on_error=1",
            }
            done = subprocess.run(
                [emulator, jobs, results], capture_output=True, text=True, env=environment
            )
            assert done.returncode == 0, done.stdout + done.stderr
            data = results.read_bytes()
        texts, at = [], 0
        while at < len(data):
            (length,) = struct.unpack_from("<q", data, at)
            texts.append(data[at + 8 : at + 8 + length])
            at += 8 + length
        return [Result(texts[i].decode(), texts[i + 1]) for i in range(0, len(texts), 2)]
