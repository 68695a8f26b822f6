"""Triton kernels without a GPU: run by the interpreter, and compiled ahead of time.

Triton fixes its mode when it is imported, so each mode runs in a process of its own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MISSING = [name for name in ("torch", "triton") if importlib.util.find_spec(name) is None]
needs_triton = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


def run_python(*arguments, interpret, cache="unused"):
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(cache)
    # The tests' own modules, and the source folder where that is what is tested.
    paths = [str(HERE.parent), *environment.get("PYTHONPATH", "").split(os.pathsep)]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    if interpret:
        environment["TRITON_INTERPRET"] = "1"
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=HERE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )


@needs_triton
@pytest.mark.parametrize("file", ["interpreted.py", "interpreted_table.py"])
def test_kernels_in_the_interpreter(file, summary_line):
    result = run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", file, interpret=True)
    assert result.returncode == 0, result.stdout + result.stderr
    counts = re.search(r"^(\d+) passed(?!.*skipped)", result.stdout, re.MULTILINE)
    assert counts, result.stdout
    summary_line(f"Triton in the interpreter, {file}: {counts[1]} passed, none skipped")


@needs_triton
def test_every_case_has_a_form_and_a_dtype(summary_line):
    code = (
        "import json, table\n"
        "from cases import CASES\n"
        "print(json.dumps([[CASES.index(r.case), r.form, r.dtype] for r in table.ROWS] "
        "+ [len(CASES)]))"
    )
    *rows, cases = json.loads(run_python("-c", f"{code}",
                                         interpret=False).stdout)  # fmt: skip
    assert {case for case, _, _ in rows} == set(range(cases))
    ways = {}
    for _, form, dtype in rows:
        ways[form, dtype] = ways.get((form, dtype), 0) + 1
    assert len(ways) == 6
    assert min(ways.values()) >= 25
    text = ", ".join(f"{form} {dtype} {count}" for (form, dtype), count in sorted(ways.items()))
    summary_line(f"Triton, table of cases: all {cases}, {len(rows)} runs: {text}")


ARCHITECTURES = ("sm_80", "sm_90", "gfx942")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    cache = tmp_path_factory.mktemp("triton")
    result = run_python("compile_ahead.py", *ARCHITECTURES, interpret=False, cache=cache)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@needs_triton
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_ahead_of_time(arch, compiled, summary_line):
    rows = [row for row in compiled if row["arch"] == arch]
    assert {row["form"] for row in rows} == {"a", "b"}
    for row in rows:
        assert row["spill_bytes"] == 0, row
        assert row["local_bytes"] == 0, row
        loads = row["loop_loads"]
        if row["form"] == "b":
            # Both operands come by 16 bytes; what is shorter loads channel numbers.
            assert row["mma"] + row["wgmma"] > 0, row
            assert loads["16"] >= 2, row
            assert not loads["2"] + loads["1"], row
            if arch == "sm_90" and row["tile"]["pixels"] >= 64:
                assert row["wgmma"] > 0, row
        else:
            assert row["fma"] > 0, row
            assert row["shared_bytes"] == 0, row
            # Activations by 16 bytes, by 8 where wavefronts have 64 threads; the rest is weights.
            taps = row["window"][0] * row["window"][1] * row["slice_channels"]
            wide = loads["16"] + (loads["8"] if arch == "gfx942" else 0)
            assert wide >= taps - (arch == "gfx942"), row  # one may be loaded ahead of the loop
    summary_line(f"Triton ahead of time, {arch}: {len(rows)} kernels, no spills")


def test_the_package_loads_neither_torch_nor_triton():
    code = (
        "import sys, kernels_under_test; package = kernels_under_test.load(); "
        "names = ('plan', 'cost', 'configs', 'unions', 'devices', 'disassembly', 'names'); "
        "[kernels_under_test.submodule(name) for name in names]; "
        "assert 'gathered_conv' in package.__all__; "
        "assert not {'torch', 'triton'} & set(sys.modules)"
    )
    result = run_python("-c", code, interpret=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("package", "name"),
    [("triton", "TritonNotInstalledError"), ("torch", "MissingExtraError")],
)
def test_missing_packages_are_named(package, name):
    code = (
        "import importlib.util, kernels_under_test\n"
        "package, find = kernels_under_test.load(), importlib.util.find_spec\n"
        "importlib.util.find_spec = "
        f"lambda n: None if n == {package!r} else find(n) or n in ('torch', 'triton')\n"
        "try:\n    package.gathered_conv\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    result = run_python("-c", code, interpret=False)
    assert name in result.stdout, result.stderr
    assert "lilnetx[triton]" in result.stdout
