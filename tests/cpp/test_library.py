"""The C++ library without Python: on other kinds of processors, and built with sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_cases(command: list[str], folder: Path) -> None:
    """Has the cases written for what the program says it has, and runs them."""
    traits, cases = folder / "traits.txt", folder / "cases.bin"
    with traits.open("w") as file:
        subprocess.run([*command, "traits"], check=True, stdout=file)
    write = [sys.executable, ROOT / "tests/cpp/write_cases.py", traits, cases]
    subprocess.run(write, check=True)
    result = subprocess.run([*command, "run", cases], capture_output=True, text=True)
    cases.unlink()
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.skipif("LILNETX_CROSS" not in os.environ, reason="takes minutes: run 'make cross'")
@pytest.mark.parametrize("machine", ["aarch64", "s390x"])
def test_another_machine(machine, tmp_path):
    """aarch64: NEON and portable kernels, codec, weights. s390x, big-endian: the latter two."""
    for tool, package in (
        (f"{machine}-linux-gnu-g++", f"g++-{machine}-linux-gnu"),
        (f"qemu-{machine}", "qemu-user"),
    ):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is missing: apt-get install {package}")
    build = ROOT / "build" / machine
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DLNX_PYTHON=OFF", "-DLNX_TESTS=ON"]
    options += [f"-DCMAKE_TOOLCHAIN_FILE={ROOT}/cmake/cross.cmake", f"-DLNX_CROSS={machine}"]
    subprocess.run(["cmake", "-S", ROOT, "-B", build, *options], check=True)
    subprocess.run(["cmake", "--build", build, "--target", "lnx_test", "-j2"], check=True)
    run_cases([f"qemu-{machine}", str(build / "lnx_test")], tmp_path)


@pytest.mark.skipif(
    "LILNETX_TEST_PROGRAM" not in os.environ,
    reason="LILNETX_TEST_PROGRAM names no program: run 'make sanitize'",
)
def test_this_machine(tmp_path):
    run_cases([os.environ["LILNETX_TEST_PROGRAM"]], tmp_path)
