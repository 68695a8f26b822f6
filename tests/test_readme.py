"""The README tells the truth: figures come from results, and its Python examples run."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from tolerances import NETWORK

from lilnetx import reference
from lilnetx.format import read_lnx

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_figures_are_those_of_the_committed_results():
    spec = importlib.util.spec_from_file_location("readme", ROOT / "benchmarks" / "readme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.updated(README) == README


def test_python_examples_run(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch", reason="torch is not installed: examples need it")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1, bias=False),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 10),
    )
    loader = [(torch.randn(4, 3, 32, 32), torch.randint(10, (4,))) for _ in range(2)]
    batch = np.random.default_rng(0).standard_normal((5, 3, 32, 32), dtype=np.float32)
    classes = [f"class {i}" for i in range(10)]
    names = {"torch": torch, "model": model, "loader": loader, "batch": batch, "names": classes}
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(block, names)
    with torch.no_grad():
        expected = model.eval()(torch.from_numpy(batch)).numpy()
        swapped = names["sparse"](torch.from_numpy(batch)).numpy()
    assert names["session"].classes == tuple(classes)
    stored = reference.run(read_lnx("model.lnx"), batch)[0]
    np.testing.assert_allclose(
        names["logits"], stored, rtol=0, atol=NETWORK["float32"] * abs(stored).max()
    )
    # Scales keep 6 bits, biases 5 of their root mean square; the swapped network's weights are the
    # model's own.
    np.testing.assert_allclose(stored, expected, rtol=0, atol=2**-5 * abs(expected).max())
    np.testing.assert_allclose(swapped, expected, rtol=0, atol=1e-5 * abs(expected).max())
