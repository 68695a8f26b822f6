"""Networks of torchvision's form, from torch and through ONNX: outputs are torch's."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="imports torch models")
pytest.importorskip("onnx", reason="imports ONNX models")

from imported import BATCHES, NETWORKS, compared

TOLERANCE = 1e-4


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs(name):
    rows = list(compared(name))
    assert len(rows) == 2 * 2 * len(BATCHES)
    for row in rows:
        assert float(str(row["largest_error"])) < TOLERANCE, row
        assert float(str(row["relative_error"])) < TOLERANCE, row
