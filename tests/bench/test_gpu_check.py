"""gpu-check without a GPU: it says what was not run, and finds errors in itself."""

from __future__ import annotations

import json
import subprocess
import sys
import types
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


@pytest.mark.parametrize("failed", [[], ["a layer: RuntimeError: a driver's words"]])
def test_with_a_gpu_both_files_are_written(gpu, failed, monkeypatch, tmp_path, capsys):
    import gpu_check
    from gpu.outcome import Outcome

    row = {"contender": "torch eager", "batch": 1, "precision": "tf32", "median_ms": 1.25}
    monkeypatch.setattr(gpu_check, "run_gpu_tests", lambda seconds: (True, "7 passed"))
    monkeypatch.setattr(gpu_check.networks, "run", lambda *_: Outcome([row], ["a network"]))
    monkeypatch.setattr(gpu_check.layers, "run", lambda *_: Outcome([row], [], failed))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "GPU of the test")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    args = types.SimpleNamespace(minutes=1.0, since=0.0, results=tmp_path / "results")
    code = gpu_check.with_gpu(args, ("triton",), {"cuda": "not built"})
    assert code == (1 if failed else 0)
    facts = json.loads((args.results / "gpu-networks.json").read_text())
    assert facts["device"] == "GPU of the test"
    assert (facts["not_run"], facts["failed"], facts["rows"]) == (["a network"], [], [row])
    assert facts["not_usable"] == {"cuda": "not built"}
    layers = json.loads((args.results / "gpu-layers.json").read_text())
    assert layers["failed"] == failed
    text = capsys.readouterr().out
    assert "torch eager, batch 1, tf32: 1.250 ms" in text
    assert "not run, out of time: a network" in text
    assert all(f"failed: {line}" in text for line in failed)
