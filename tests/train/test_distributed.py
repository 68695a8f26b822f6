"""Two processes of torchrun's kind (gloo), and a process that is killed."""

import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from test_loop import CONFIG, make_data  # noqa: E402
from torch import nn  # noqa: E402

from lilnetx.errors import UsageError  # noqa: E402
from lilnetx.train import distributed  # noqa: E402
from lilnetx.train.checkpoint import load_checkpoint  # noqa: E402
from lilnetx.train.feed import Batches  # noqa: E402

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


# In a single process: statistics of its own images alone.
@pytest.mark.parametrize(("mean", "spread"), [(0.0, 1.0), (30.0, 0.01), (10.0, 1e-3)])
def test_synchronised_batch_norm_is_that_of_torch(monkeypatch, mean, spread):
    monkeypatch.setattr(distributed, "all_reduce", lambda tensor: tensor)
    torch.manual_seed(0)
    x = (torch.randn(8, 3, 5, 5) * spread + mean).requires_grad_()
    ours, theirs = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    with torch.no_grad():
        ours.weight.uniform_(0.5, 2)
        ours.bias.normal_()
    theirs.load_state_dict(ours.state_dict())
    distributed.synchronise_batch_norm(ours)
    assert type(ours) is distributed.SynchronisedBatchNorm2d
    wanted = torch.randn(8, 3, 5, 5)
    results = []
    for norm in (ours, theirs):
        out = norm(x)
        (gradient,) = torch.autograd.grad((out * wanted).sum(), x)
        results.append((out.detach(), gradient * spread, norm.running_mean, norm.running_var))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-3)


def test_a_last_batch_without_an_image_for_each_process_is_left_out():
    index = np.arange(33)
    shares = [Batches(CONFIG, make_data(33), index, rank, 2) for rank in range(2)]
    for batches in shares:
        assert [len(batch.labels) for batch in batches.epoch(0)] == [8, 8]
        assert batches.steps == 2
    assert Batches(CONFIG, make_data(33), index).steps == 3
    with pytest.raises(UsageError, match="1 training images cannot be shared by 2"):
        Batches(CONFIG, make_data(33), index[:1], 0, 2)


def test_a_run_that_is_killed_at_a_random_moment_resumes_to_the_same_checkpoint(tmp_path):
    changes = {"epochs": 6}
    assert start(tmp_path / "whole", changes).wait(timeout=300) == 0
    epoch = statistics.median(row["seconds"] for row in rows(tmp_path / "whole")[1:-1])
    seed = random.randrange(1000)
    process = start(tmp_path / "killed", changes)
    while not (tmp_path / "killed" / "checkpoint.pt").exists():
        time.sleep(0.01)
    time.sleep(epoch * random.Random(seed).uniform(0, 3))
    process.send_signal(signal.SIGKILL)
    process.wait()
    # There is something to go on from, and something left to do.
    assert 1 <= load_checkpoint(tmp_path / "killed" / "checkpoint.pt")["epoch"] < 6
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
