"""Optional packages: not loaded before they are needed, and named when they are missing."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lilnetx.errors import MissingExtraError
from lilnetx.graph.from_torch import from_torch
from lilnetx.graph.to_onnx import to_onnx
from lilnetx.graph.to_torch import to_torch
from lilnetx.packing import freeze, synth, unpack

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("package", "extra", "use"),
    [
        ("torch", "train", lambda graph, path: from_torch(None, (3, 4, 4))),
        ("torch", "train", lambda graph, path: freeze(None, (3, 4, 4))),
        ("torch", "train", lambda graph, path: to_torch(graph)),
        ("onnx", "onnx", lambda graph, path: to_onnx(graph)),
        ("safetensors", "export", unpack),
    ],
)
def test_a_missing_package_is_named(monkeypatch, tmp_path, package, extra, use):
    for name in [package, *(m for m in sys.modules if m.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*lilnetx\[{extra}\]"):
        use(synth("resnet20", density=0.1), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_importing_loads_none_of_them():
    code = (
        "import sys, lilnetx.packing, lilnetx.reference, lilnetx.graph.cost; "
        "import lilnetx.graph.from_torch, lilnetx.graph.to_torch, lilnetx.graph.to_onnx; "
        "print({'torch', 'onnx', 'safetensors', 'triton'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"


def test_an_extra_that_an_error_names_brings_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {
        name: {re.match(r"[\w-]+", line)[0] for line in lines}
        for name, lines in project["optional-dependencies"].items()
    }
    sources = [*(ROOT / "lilnetx").rglob("*.py"), *(ROOT / "kernels").rglob("*.py")]
    named = {
        pair
        for path in sources
        for pair in re.findall(r'MissingExtraError\("([\w-]+)", "(\w+)"', path.read_text("utf-8"))
    }
    assert ("torch", "triton") in named
    for package, extra in named:
        assert package in extras[extra], (package, extra)
