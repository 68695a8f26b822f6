"""The page of predicted times is made of the committed rows, and says what it is."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def number(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


@pytest.fixture(scope="module")
def rows():
    with (RESULTS / "gpu-prediction.csv").open(newline="") as file:
        return [{k: number(v) for k, v in row.items()} for row in csv.DictReader(file)]


@pytest.fixture
def page(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from gpu.page import page

    return page


def test_the_page_is_that_of_the_committed_rows(rows, page):
    facts = json.loads((RESULTS / "gpu-prediction.json").read_text())
    assert "nothing here was measured" in facts["what"]
    text = (ROOT / "docs" / "gpu-prediction.md").read_text()
    assert text == page(rows, facts)
    assert "**These are predictions.**" in text


def test_all_layers_are_predicted_everywhere(rows):
    ours = {"triton gathered", "triton union", "dense"}
    for device in ("sm_80", "sm_90"):
        for batch in (1, 64):
            for dtype in ("float32", "float16"):
                key = (device, batch, dtype)
                mine = [r for r in rows if (r["arch"], r["batch"], r["dtype"]) == key]
                assert ours <= {r["contender"] for r in mine}
                for contender in {r["contender"] for r in mine}:
                    counts = [r["count"] for r in mine if r["contender"] == contender]
                    assert sum(counts) == 52


def test_kernels_of_the_prediction_are_compiled_without_spills(rows):
    compiled = json.loads((RESULTS / "gpu-compiled-triton.json").read_text())["rows"]
    by_name = {(row["kernel"], row["arch"]): row for row in compiled}
    used = [r for r in rows if r["contender"].startswith("triton")]
    assert used
    for row in used:
        code = by_name[row["kernel"], row["arch"]]
        assert code["spill_bytes"] == code["local_bytes"] == 0, code
        assert code["registers"] == row["registers"]
        assert 0 < row["occupancy"] <= 1
        tensor = code["mma"] + code["wgmma"]
        assert (tensor > 0) == (row["contender"] == "triton union")
        if tensor:
            assert code["loop_loads"]["16"] >= 2
