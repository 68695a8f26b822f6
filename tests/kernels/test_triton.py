"""Triton kernels without a GPU: run by the interpreter, and compiled ahead of time.

Triton fixes its mode when it is imported, so each mode runs in a process of its own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MISSING = [name for name in ("torch", "triton") if importlib.util.find_spec(name) is None]
needs_triton = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


def run_python(*arguments, interpret):
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    if interpret:
        environment["TRITON_INTERPRET"] = "1"
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=HERE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@needs_triton
def test_kernels_in_the_interpreter():
    result = run_python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "interpreted.py", interpret=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout
    assert "skipped" not in result.stdout


@needs_triton
def test_ahead_of_time():
    result = run_python("compile_ahead.py", interpret=False)
    assert result.returncode == 0, result.stderr
    compiled = json.loads(result.stdout)
    assert {facts["architecture"] for facts in compiled} == {80, 90}
    for facts in compiled:
        _, size, slice_channels = facts["variant"]
        assert facts["target"].startswith(f"sm_{facts['architecture']}")
        # 256 pixels over 128 threads: each tap is two multiply-adds a thread.
        assert facts["multiply_adds"] == 2 * size * size * slice_channels
        assert facts["local_memory"] == 0  # nothing spilled
        assert facts["cubin_bytes"] > 0


def test_the_package_loads_neither_torch_nor_triton():
    code = (
        "import sys, kernels_under_test; package = kernels_under_test.load(); "
        "assert 'gathered_conv' in package.__all__; "
        "assert not {'torch', 'triton'} & set(sys.modules)"
    )
    result = run_python("-c", code, interpret=False)
    assert result.returncode == 0, result.stderr


def test_missing_triton_is_named():
    code = (
        "import importlib.util, kernels_under_test\n"
        "package, find = kernels_under_test.load(), importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda n: None if n == 'triton' else find(n)\n"
        "try:\n    package.gathered_conv\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    result = run_python("-c", code, interpret=False)
    assert "MissingExtraError" in result.stdout, result.stderr
    assert "lilnetx[triton]" in result.stdout or MISSING
