"""gpu-check without a GPU: it says what was not run, and finds errors in itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: gpu-check needs it")

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU: run make gpu-check")
def test_without_a_gpu_it_succeeds_and_says_so(tmp_path):
    done = subprocess.run(
        [sys.executable, str(FOLDER / "gpu_check.py"), "--results", str(tmp_path), "--since", "0"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for device in ("triton", "cuda"):
        assert f"{device}: device='{device}'" in done.stdout
    assert "nothing below was run" in done.stdout
    assert "132 comparisons" in done.stdout
    assert "torch.compile, batch 64, float16" in done.stdout
    assert done.stdout.count("checked without a GPU:") == 4
    assert done.stdout.endswith("Nothing was measured.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import gpu.self_check
    import gpu.timing

    return gpu


@pytest.mark.parametrize("broken", ["pairwise", "buffers"])
def test_the_self_check_finds_errors(gpu, broken, monkeypatch, tmp_path):
    if broken == "pairwise":
        monkeypatch.setattr(gpu.timing.np, "percentile", lambda *_: (1.0, 1.0, 1.0))
    else:
        monkeypatch.setattr(gpu.self_check, "buffers_needed", lambda *_: 1)
    with pytest.raises(AssertionError, match="gpu-check finds an error in itself"):
        list(gpu.self_check.self_check(tmp_path))


def test_rows_have_columns(gpu, tmp_path):
    from gpu import table

    with pytest.raises(ValueError, match="nonsense"):
        table.write(tmp_path, "rows", [{"nonsense": 1}], {})
