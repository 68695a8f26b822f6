"""What an import loads: a device that only runs networks has neither torch nor Triton."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import lilnetx

HEAVY = ("torch", "triton", "onnx", "onnxruntime", "openvino", "safetensors", "optuna", "PIL")


def heavy_modules_after(code: str, cwd: Path) -> str:
    """Heavy modules that are loaded after some code ran in a fresh interpreter."""
    report = f"; import sys; print('HEAVY', sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, cwd=cwd, check=True
    )
    return done.stdout.splitlines()[-1]


def test_importing_the_package_loads_no_framework(tmp_path):
    assert heavy_modules_after("import lilnetx", tmp_path) == "HEAVY []"


def test_the_check_would_see_a_framework(tmp_path):
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    assert heavy_modules_after("import safetensors", tmp_path) == "HEAVY ['safetensors']"


@pytest.mark.parametrize("arguments", [["inspect", "--json"], ["inspect"], ["verify"]])
def test_commands_on_a_file_load_no_framework(arguments, synthetic_lnx, tmp_path):
    argv = [arguments[0], str(synthetic_lnx), *arguments[1:]]
    code = f"from lilnetx.cli.main import main; assert main({argv!r}) == 0"
    assert heavy_modules_after(code, tmp_path) == "HEAVY []"


def test_running_a_network_loads_no_framework(synthetic_lnx, tmp_path):
    code = (
        "import numpy, lilnetx; "
        f"s = lilnetx.Session({str(synthetic_lnx)!r}, threads=1); "
        "from lilnetx.data import normalise; "
        "s.run(normalise(numpy.zeros((1, 1, 28, 28), numpy.uint8), *s.normalisation))"
    )
    assert heavy_modules_after(code, tmp_path) == "HEAVY []"


@pytest.mark.parametrize("name", lilnetx.__all__)
def test_every_public_name_is_there(name):
    if name in ("compress", "CompressionHandle", "Objective", "SparseConv2d", "sparsify"):
        pytest.importorskip("torch", reason=f"{name} needs torch, which is not installed")
    assert getattr(lilnetx, name) is not None


def test_the_objective_is_that_of_compress():
    pytest.importorskip("torch", reason="training needs torch, which is not installed")
    from lilnetx.train import Objective

    assert lilnetx.Objective is Objective


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        lilnetx.nonsense  # noqa: B018


@pytest.mark.skipif(
    "LILNETX_TEST_INSTALLED" not in os.environ,
    reason="only 'make test' promises that the installed package is tested, not the source folder",
)
def test_the_installed_package_is_under_test():
    assert "site-packages" in Path(lilnetx.__file__).parts
