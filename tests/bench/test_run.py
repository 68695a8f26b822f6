"""A whole benchmark on a small synthetic network."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pytest

from lilnetx.bench import BenchmarkOptions, run, run_benchmark
from lilnetx.bench.contenders import Contender, default_contenders, make_contender
from lilnetx.bench.report import as_json, format_report, write_csv, write_json
from lilnetx.bench.run import SHIPPED_MODEL, relative_error
from lilnetx.errors import UsageError, WrongResultError
from lilnetx.format import read_lnx
from lilnetx.graph.cost import layer_stats
from lilnetx.reference.ops import run as run_reference

ISSUE_KEYS = {
    "file",
    "file_bytes",
    "synthetic",
    "batch",
    "threads",
    "isa",
    "max_rel_error",
    "load_ms",
    "contenders",
    "speedup_vs_best_dense_fp32",
}
QUICK = BenchmarkOptions(seconds=0.05, against=())


@pytest.fixture(scope="module")
def report(synthetic_lnx):
    return run_benchmark(synthetic_lnx, dataclasses.replace(QUICK, batch=2), command="the command")


@pytest.mark.parametrize("name", ["torch", "onnxruntime", "openvino"])
@pytest.mark.parametrize("batch", [1, 3])
def test_contenders_compute_the_same_network(name, batch, synthetic_lnx):
    pytest.importorskip(name, reason=f"{name} is not installed")
    graph = read_lnx(synthetic_lnx)
    x = np.random.default_rng(1).standard_normal((batch, 1, 28, 28), dtype=np.float32)
    contender = make_contender(name, graph, x, 1)
    assert contender.name == name
    assert contender.precision == "fp32"
    assert relative_error(contender.call(), run_reference(graph, x)[0]) < 1e-4


def test_contenders_appear_in_the_result(synthetic_lnx):
    names = default_contenders()
    if not names:
        pytest.skip("no dense engine is installed")
    result = run_benchmark(synthetic_lnx, BenchmarkOptions(seconds=0.05))
    row = as_json(result)
    assert [c["name"] for c in row["contenders"]] == ["lilnetx", *names]
    medians = {c["name"]: c["median_ms"] for c in row["contenders"]}
    best = min(medians[name] for name in names)
    assert row["speedup_vs_best_dense_fp32"] == pytest.approx(best / medians["lilnetx"])
    assert all(0 < c["p20_ms"] <= c["median_ms"] <= c["p80_ms"] for c in row["contenders"])
    assert "times as fast as the fastest dense float32" in format_report(result)


def test_json_has_the_agreed_keys(report, tmp_path):
    write_json(report, tmp_path / "out.json")
    row = json.loads((tmp_path / "out.json").read_text())
    assert set(row) >= ISSUE_KEYS
    assert row["synthetic"] is True
    assert row["batch"] == 2
    assert row["threads"] == 1
    assert row["command"] == "the command"
    assert row["speedup_vs_best_dense_fp32"] is None
    assert 0 < row["max_rel_error"] <= 1e-4
    assert row["load_ms"] > 0
    (ours,) = row["contenders"]
    keys = {"name", "precision", "version", "median_ms", "p20_ms", "p80_ms"}
    assert set(ours) >= keys
    assert (ours["name"], ours["precision"]) == ("lilnetx", "fp32")


def test_layers_cover_the_network(report, synthetic_lnx):
    stats = {layer.name: layer for layer in layer_stats(read_lnx(synthetic_lnx))}
    rows = {row.name: row for row in report.layers if row.density is not None}
    assert set(stats) == set(rows)
    assert sum(row.share for row in report.layers) == pytest.approx(1.0)
    for name, layer in stats.items():
        row = rows[name]
        assert row.density == pytest.approx(layer.density)
        assert row.gflops == pytest.approx(2 * 2 * layer.macs / (row.ms * 1e6))
        assert row.useful_gflops == pytest.approx(2 * 2 * layer.macs_left / (row.ms * 1e6))
    assert all(row.reason for row in report.layers)
    assert rows["layer1.0.conv1"].reason in format_report(report)


def test_every_table_says_that_weights_are_synthetic(report):
    text = format_report(report)
    headings = [line for line in text.splitlines() if line.startswith(("By layer", "Whole"))]
    assert len(headings) == 2
    assert all("SYNTHETIC weights: for timing only" in line for line in headings)
    real = format_report(dataclasses.replace(report, synthetic=False))
    assert "SYNTHETIC" not in real


def test_csv_has_a_row_for_each_contender_and_layer(report, tmp_path):
    write_csv(report, tmp_path / "out.csv")
    with open(tmp_path / "out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows] == ["network", *["layer"] * len(report.layers)]
    assert float(rows[0]["median_ms"]) == pytest.approx(report.contenders[0].timing.median_ms)
    assert {row["synthetic"] for row in rows} == {"True"}


def test_a_wrong_output_is_not_timed(synthetic_lnx, monkeypatch):
    real = run.run_reference
    monkeypatch.setattr(run, "run_reference", lambda graph, x: [y * 1.001 for y in real(graph, x)])
    monkeypatch.setattr(run, "alternate", lambda *a, **k: pytest.fail("it was timed"))
    with pytest.raises(WrongResultError, match="lilnetx: relative error"):
        run_benchmark(synthetic_lnx, QUICK)


@pytest.mark.parametrize("factor", [1.01, float("nan")])
def test_a_wrong_contender_is_not_timed(factor, synthetic_lnx, monkeypatch):
    def make(name, graph, x, threads):
        output = run_reference(graph, x)[0] * factor
        return Contender(name, "fp32", "0", "", lambda: output)

    monkeypatch.setattr(run, "make_contender", make)
    with pytest.raises(WrongResultError, match="openvino"):
        run_benchmark(synthetic_lnx, dataclasses.replace(QUICK, against=("openvino",)))


def test_reasons_and_measurements_are_shown(synthetic_lnx, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tuned = run_benchmark(synthetic_lnx, dataclasses.replace(QUICK, tune=True))
    assert all(layer.reason for layer in tuned.layers)
    measured = [layer for layer in tuned.layers if "measured: " in layer.reason]
    assert {layer.name for layer in tuned.layers if layer.density} <= {m.name for m in measured}
    assert all(layer.reason in format_report(tuned) for layer in measured)
    by_rule = run_benchmark(synthetic_lnx, dataclasses.replace(QUICK, tune=False))
    assert not any("measured" in layer.reason for layer in by_rule.layers)


def test_the_shipped_model_is_the_default():
    result = run_benchmark(None, QUICK)
    assert result.file == SHIPPED_MODEL
    assert result.synthetic is False


def test_a_package_without_model_says_so(monkeypatch):
    monkeypatch.setattr(run, "SHIPPED_MODEL", "gone.lnx")
    with pytest.raises(UsageError, match=r"gone\.lnx"):
        run_benchmark(None, QUICK)


def test_relative_error_of_other_shapes_is_infinite():
    assert relative_error(np.zeros(3), np.zeros(4)) == float("inf")
    assert relative_error(np.zeros(3), np.zeros(3)) == 0.0
    assert relative_error(np.array([1.0, 2.2]), np.array([1.0, 2.0])) == pytest.approx(0.1)
