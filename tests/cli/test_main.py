"""The program as a whole: help, version, exit codes, one line an error."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lilnetx
from lilnetx.cli import bench, verify
from lilnetx.cli.common import run_guarded
from lilnetx.cli.main import main

COMMANDS = (
    "train",
    "check",
    "pack",
    "eval",
    "bench",
    "inspect",
    "report",
    "diff",
    "verify",
    "unpack",
    "synth",
)


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"lilnetx {lilnetx.__version__}\n"


def test_help_tells_the_exit_codes_that_the_documentation_tells(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    page = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    told = "1 files differ (diff) or something is not supported (check)"
    assert told in " ".join(capsys.readouterr().out.split())
    assert told in " ".join(page.replace("`", "").split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(command, capsys):
    if command == "train":
        pytest.importorskip("torch", reason="training needs torch, which is not installed")
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"lilnetx{'-' if command == 'bench' else ' '}{command}" in capsys.readouterr().out


def test_help_of_training_shows_every_setting_with_its_default(capsys):
    pytest.importorskip("torch", reason="training needs torch, which is not installed")
    from lilnetx.train.config import TrainConfig

    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    for field in dataclasses.fields(TrainConfig):
        if field.name not in ("network", "data"):
            assert f"--{field.name.replace('_', '-')}" in out
            assert f"(default: {field.default})" in out


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["nonsense"],
        ["verify"],
        ["eval", "x.lnx", "--batch", "0"],
        ["synth", "resnet20", "--density", "much", "-o", "x.lnx"],
        ["bench", "--pin", "zero"],
    ],
)
def test_wrong_usage_is_one_line_and_code_2(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("lilnetx: error: ")
    assert captured.err.count("\n") == 1
    assert "--help" in captured.err


def test_the_benchmark_program_names_itself(capsys):
    with pytest.raises(SystemExit) as stop:
        bench.main(["--threads", "none"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("lilnetx-bench: error: argument --threads")


def test_an_interruption_is_code_130(monkeypatch, capsys):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(verify, "run", interrupted)
    assert main(["verify", "x.lnx"]) == 130
    assert capsys.readouterr().err == "lilnetx: interrupted\n"


def test_newlines_of_a_message_do_not_reach_the_terminal(capsys):
    def fail():
        raise lilnetx.LilnetxError("first\n   second")

    assert run_guarded(fail, "lilnetx") == 2
    assert capsys.readouterr().err == "lilnetx: error: first second\n"


def test_bugs_are_not_hidden():
    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_guarded(fail, "lilnetx")


def test_a_reader_that_stops_early_causes_no_traceback(synthetic_lnx, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "lilnetx.cli.main", "inspect", str(synthetic_lnx)],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode == 1
