"""Two processes of torchrun's kind (gloo), and a process that is killed."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from lilnetx.train.checkpoint import load_checkpoint  # noqa: E402

# Trains the toy run of test_loop with the settings given as JSON, into the folder given.
SCRIPT = """
import dataclasses, json, pathlib, sys
import torch
torch.set_num_threads(1)
from test_loop import CONFIG, make_data
from lilnetx.train import loop
changes = json.loads(sys.argv[2])
count = changes.pop("images", 96)
config = dataclasses.replace(CONFIG, **changes)
loop.train(config, make_data(count), pathlib.Path(sys.argv[1]), progress=False)
"""


def start(folder: Path, changes: dict, **environment: str) -> subprocess.Popen:
    here = str(Path(__file__).parent)
    paths = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), json.dumps(changes)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **environment},
    )


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_two_processes_follow_the_loss_curve_of_one(tmp_path):
    # 75 images in batches of 16: the last batch of an epoch has 11, which two cannot share evenly.
    changes = {"epochs": 3, "images": 91, "rate": 2.0}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    alone = start(tmp_path / "one", changes)
    together = [
        start(
            tmp_path / "two",
            changes,
            RANK=str(rank),
            WORLD_SIZE="2",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
        )
        for rank in range(2)
    ]
    assert [p.wait(timeout=300) for p in (alone, *together)] == [0, 0, 0]
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert [row["event"] for row in two] == [row["event"] for row in one]
    for a, b in zip(one[1:-1], two[1:-1], strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-3)
        assert b["penalty"] == pytest.approx(a["penalty"], rel=1e-4)
        assert b["bits"] == pytest.approx(a["bits"], rel=1e-3)


def test_a_run_that_is_killed_at_a_random_moment_resumes_to_the_same_checkpoint(tmp_path):
    changes = {"epochs": 4}
    began = time.monotonic()
    assert start(tmp_path / "whole", changes).wait(timeout=300) == 0
    took = time.monotonic() - began
    seed = random.randrange(1000)
    process = start(tmp_path / "killed", changes)
    time.sleep(took * random.Random(seed).uniform(0.3, 0.95))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert start(tmp_path / "killed", changes).wait(timeout=300) == 0
    whole, killed = (load_checkpoint(tmp_path / n / "checkpoint.pt") for n in ("whole", "killed"))
    assert whole["config"] == killed["config"]
    for part in ("model", "optimizer"):
        assert_same(whole[part], killed[part], f"seed {seed}: {part}")


def assert_same(a, b, where):
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), where
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{index}]")
    else:
        assert a == b, where
