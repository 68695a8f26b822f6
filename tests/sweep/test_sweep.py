"""Whole sweeps of tiny networks, by this process and by others that are killed."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed: no sweeps")
pytest.importorskip("PIL", reason="Pillow is not installed: a sweep draws its front by it")
optuna = pytest.importorskip("optuna", reason="optuna is not installed: no sweeps")

from lilnetx.cli.main import main  # noqa: E402
from lilnetx.errors import DivergedError  # noqa: E402

RUNS = ["--epochs", "1", "--width", "4", "--validation", "60", "--batch-size", "60", "--quiet"]


def argv(folder: Path, data: Path, *extra: str) -> list[str]:
    start = ["sweep", "resnet20", "--data", "fashion-mnist", "--data-root", str(data)]
    return [*start, "-o", str(folder), *RUNS, *extra]


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_sweep_ends_with_its_front_and_goes_on_when_given_again(
    tiny_fashion_mnist, tmp_path, capsys
):
    folder = tmp_path / "sweep"
    grid = argv(folder, tiny_fashion_mnist, "--vary", "rate=0.5,20", "--threads", "1")
    assert main([*grid, "--trials", "1"]) == 0
    assert "1 of 1 trials done" in capsys.readouterr().out
    assert main(grid) == 0
    out = capsys.readouterr().out
    assert "trial 1: rate 20" in out
    assert "2 of 2 trials done" in out
    assert "trial 0: rate" not in out  # it was done before
    trials = rows(folder / "trials.csv")
    assert [float(row["rate"]) for row in trials] == [0.5, 20]
    for row in trials:
        packed = Path(row["folder"]) / "model.lnx"
        assert packed.stat().st_size == int(row["bytes"])
        lines = (Path(row["folder"]) / "log.jsonl").read_text().splitlines()
        log = [json.loads(line) for line in lines]
        assert float(row["validation_top1"]) == log[-2]["validation_top1"]
        assert int(row["macs_left"]) == log[-1]["macs_left"]
    front = rows(folder / "front.csv")
    assert 1 <= len(front) <= 2
    assert (folder / "front.html").read_text().count("<circle") == 4
    assert main(argv(folder, tiny_fashion_mnist, "--vary", "rate=0.5,3")) == 2
    assert (
        "with other settings (vary rate: 0.5,20.0 there, 0.5,3.0 here)" in capsys.readouterr().err
    )


def test_an_interrupted_trial_is_left_to_be_tried_again(tiny_fashion_mnist, tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lilnetx.train.loop.train", interrupted)
        assert main(argv(tmp_path / "s", tiny_fashion_mnist, "--vary", "rate=1,2")) == 130
    study = optuna.load_study(study_name="lilnetx", storage=f"sqlite:///{tmp_path}/s/sweep.db")
    assert [(t.state.name, t.user_attrs.get("withdrawn")) for t in study.trials] == [("FAIL", True)]


def test_a_trial_that_diverges_is_left_out_and_the_others_go_on(
    tiny_fashion_mnist, tmp_path, monkeypatch, capsys
):
    from lilnetx.train import loop

    real = loop.train

    def train(config, *args, **kwargs):
        if config.rate == 1:
            raise DivergedError("the loss is nan")
        return real(config, *args, **kwargs)

    monkeypatch.setattr(loop, "train", train)
    assert main(argv(tmp_path / "s", tiny_fashion_mnist, "--vary", "rate=1,2")) == 0
    out = capsys.readouterr().out
    assert "trial 0 failed: the loss is nan" in out
    assert "1 of 2 trials done, 1 failed" in out
    assert [row["trial"] for row in rows(tmp_path / "s" / "front.csv")] == ["1"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--vary", "rates=1,2"], "NAME is one of"),
        (["--vary", "epochs=0,1"], "epochs must be at least 1"),
        (["--vary", "distill=0.5,1"], "give start"),
    ],
)
def test_what_cannot_work_is_one_line(tiny_fashion_mnist, tmp_path, capsys, extra, message):
    assert main(argv(tmp_path / "s", tiny_fashion_mnist, *extra)) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "s").exists()


def started(arguments: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "lilnetx.cli.main", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_of_two_processes_one_is_killed_and_the_sweep_completes(tiny_fashion_mnist, tmp_path):
    folder = tmp_path / "sweep"
    arguments = argv(folder, tiny_fashion_mnist, "--vary", "rate=1,2,4,8", "--grace", "4")
    arguments += ["--threads", "1", "--epochs", "4"]
    url = f"sqlite:///{folder}/sweep.db"
    victim, survivor = started(arguments), started(arguments)
    try:
        begun = (re.match(r"trial (\d+): rate", line) for line in victim.stdout)
        slot = int(next(found for found in begun if found)[1])
        victim.send_signal(signal.SIGKILL)
        assert victim.wait() == -signal.SIGKILL
        out, _ = survivor.communicate(timeout=300)
    finally:
        for process in (victim, survivor):
            process.kill()
    assert survivor.returncode == 0
    assert "4 of 4 trials done" in out
    trials = optuna.load_study(study_name="lilnetx", storage=url).trials
    states = [t.state.name for t in trials if t.user_attrs["slot"] == slot]
    assert states[:1] == ["FAIL"]
    assert states.count("COMPLETE") == 1
    done = [t.user_attrs["slot"] for t in trials if t.state.name == "COMPLETE"]
    assert sorted(done) == [0, 1, 2, 3]
    assert not any(t.state.name == "RUNNING" for t in trials)
    assert [int(row["trial"]) for row in rows(folder / "trials.csv")] == [0, 1, 2, 3]
    assert rows(folder / "front.csv")
