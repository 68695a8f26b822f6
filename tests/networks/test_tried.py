"""Every network was checked, packed and reported, from ONNX and from torch, without an error."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "tried.csv"
NETWORKS = Path(__file__).resolve().parents[2] / "lilnetx" / "networks"


def test_all_of_them_and_all_commands():
    with RESULTS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["exit_code"] for row in rows} == {"0"}
    commands = Counter((row["network"], row["from"], row["command"].split()[1]) for row in rows)
    assert set(commands.values()) == {1}
    networks = {network for network, _, _ in commands}
    assert len(commands) == len(networks) * 2 * 3
    names = (NETWORKS / "__init__.py").read_text(encoding="utf-8").partition("__all__")[2]
    assert networks == set(names.split('"')[1::2])
