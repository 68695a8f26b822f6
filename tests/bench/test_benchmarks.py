"""The scripts in benchmarks/: a run of every step in small, and pictures from its results."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
RUN = FOLDER / "run.py"
NEEDED = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(NEEDED), reason=f"{', '.join(NEEDED)} not installed: benchmarks compare with them"
)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(RUN), *map(str, arguments)], capture_output=True, text=True
    )


@pytest.fixture
def script(monkeypatch):
    """Imports a script of that folder, as running it would."""
    monkeypatch.syspath_prepend(str(FOLDER))

    return importlib.import_module


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    core = str(min(os.sched_getaffinity(0)))
    names = "model,resnet20,mobilenet_v2,sweep,layers,load,isas"
    done = run("--quick", "--only", names, "--cores", core, "--results", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def read(results, name):
    with open(results / f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file)), json.loads((results / f"{name}.json").read_text())


def test_every_result_says_how_it_was_made(results):
    files = {path.name for path in results.iterdir()}
    assert {"resnet20-batch1.csv", "resnet20-batch16.csv", "mobilenet_v2-batch1.json"} <= files
    for path in results.glob("*.json"):
        facts = json.loads(path.read_text())
        assert facts["command"].startswith("python benchmarks/run.py --quick")
        assert facts["machine"]["cpu"]
        assert {"lilnetx", "python", "numpy"} <= set(facts["versions"])
        assert str(results) not in json.dumps({**facts, "command": ""})


def test_sweep(results):
    rows, facts = read(results, "sweep")
    assert [(row["contender"], row["density"]) for row in rows] == [
        ("lilnetx", "0.19"),
        ("lilnetx", "1"),
        ("onnxruntime", ""),
    ]
    ratios = [float(rows[2]["median_ms"]) / float(row["median_ms"]) for row in rows]
    assert [float(row["times_fastest_dense"]) for row in rows] == pytest.approx(ratios, rel=1e-4)
    assert facts["least_times_fastest_dense"] == pytest.approx(min(ratios[:2]), rel=1e-4)


def test_layers(results):
    rows, facts = read(results, "layers")
    alone = [row for row in rows if row["where"] == "alone"]
    inside = [row for row in rows if row["where"] == "network"]
    assert sum(int(row["count"]) for row in alone) == len(inside) == 21
    for row in rows:
        rate = float(row["useful_mflop"]) / float(row["ms"])
        assert float(row["useful_gflops"]) == pytest.approx(rate, rel=1e-4)
        share = 100 * rate / float(row["fma_gflops"])
        assert float(row["percent_of_peak"]) == pytest.approx(share, rel=1e-4)
        assert row["kernel"]
        assert row["reason"]
    # The stem by hand: 3x3 weights of 3 channels, 16 filters, 32x32 pixels.
    (stem,) = (row for row in inside if row["kind"] == "stem")
    assert float(stem["useful_mflop"]) == pytest.approx(2e-6 * 27 * 16 * 1024, rel=1e-4)
    moved = 4 * (3 * 1024 + 16 * 1024) + 48 * (4 * 9 + 2)
    assert int(stem["bytes"]) == moved
    (group,) = (g for g in facts["classes"] if (g["class"], g["where"]) == ("3x3", "network"))
    members = [row for row in inside if row["kind"] == "3x3"]
    assert group["layers"] == len(members) == 18
    assert group["ms"] == pytest.approx(sum(float(row["ms"]) for row in members), rel=1e-3)


def test_isas(results):
    rows, _ = read(results, "isas")
    assert [row["isa"] for row in rows][-1] == "portable"
    assert max(float(row["share_of_fastest"]) for row in rows) == 1


def test_measured_steps_are_left_out_on_request(results):
    before = (results / "isas.json").stat().st_mtime_ns
    done = run("--quick", "--resume", "--only", "isas", "--results", results)
    assert done.returncode == 0
    assert "measured before" in done.stdout
    assert (results / "isas.json").stat().st_mtime_ns == before


def test_a_step_that_needs_more_cores_is_left_out(results):
    core = str(min(os.sched_getaffinity(0)))
    done = run("--quick", "--only", "threads", "--cores", core, "--results", results)
    assert done.returncode == 0
    assert "needs 2 cores" in done.stdout


def test_a_failing_step_is_reported(tmp_path):
    (tmp_path / "isas.json").mkdir()
    done = run("--quick", "--only", "isas", "--results", tmp_path)
    assert done.returncode == 1
    assert "isas: failed" in done.stdout
    assert "cannot write" in done.stdout
    assert "failed: isas" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "everything"], "unknown step 'everything'"),
        (["--cores", "one"], "expected core numbers"),
        (["--cores", "123456"], "this process may use"),
        (["--quick"], "name another folder"),
    ],
)
def test_wrong_arguments(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_density_chart(results, script):
    picture = script("plots").density_chart(results)
    assert picture == script("plots").density_chart(results)
    root = ElementTree.fromstring(picture)
    text = " ".join(root.itertext())
    for part in (
        "density: slices that are not zero, %",
        "ms",
        "one thread",
        "ONNX Runtime",
        "Batch 1",
    ):
        assert part in text


def test_committed_plots_are_those_of_the_committed_results(script):
    plots = script("plots")
    for name, draw in (("density.svg", plots.density_chart), ("roofline.svg", plots.roofline)):
        picture = draw(plots.RESULTS)
        assert (plots.PLOTS / name).read_text(encoding="utf-8") == picture
        ElementTree.fromstring(picture)


@pytest.mark.parametrize(
    ("ratios", "crossover"),
    [
        ([3.0, 2.0, 1.5], None),
        ([3.0, 1.5, 0.5], 0.35),
        ([2.0, 1.0, 0.5], 0.2),
        ([0.9, 0.8, 0.7], 0.1),
    ],
)
def test_crossover(ratios, crossover, script):
    script("plots")  # puts the folder on the path
    from steps.sweep import find_crossover

    assert find_crossover([0.1, 0.2, 0.5], ratios) == pytest.approx(crossover)


def test_axes(script):
    svg = script("svg")
    assert svg.Axis("", 0, 50, ()).place(20) == pytest.approx(0.4)
    assert svg.Axis("", 1, 100, (), log=True).place(10) == pytest.approx(0.5)
    assert svg.steps(36.0) == [0, 10, 20, 30, 40]
    assert svg.powers_of_two(3, 65) == [2, 4, 8, 16, 32, 64, 128]
