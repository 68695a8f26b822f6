"""SIGKILL while packing: the file is the old one or the new one, whole, and can be packed again.

`make fuzz` kills 200 times (LILNETX_KILLS).
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from lilnetx.atomic import atomic_write
from lilnetx.format import read_lnx, verify_lnx, write_lnx
from lilnetx.packing.synth import synth

KILLS = int(os.environ.get("LILNETX_KILLS", "20"))

# Forked processes write at once; started ones would spend the moments on imports.
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def run_and_kill(work, seconds):
    """Calls ``work`` over and over in a process of its own, which is killed after that time."""
    child = os.fork()
    if child == 0:
        try:
            while True:
                work()
        finally:  # An exception must not bring a second pytest into the world.
            os._exit(1)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "writing failed before it was killed"


def kill_often(path, write_one, wholes, rng, period):
    """Kills ``write_one(i)``, i = 0, 1, 0, ..., at random moments of two periods.

    Returns:
        How often each of ``wholes``, and how often a temporary file, was found after a kill.
    """
    found = Counter()

    def write_both():
        write_one(0)
        write_one(1)

    for _ in range(KILLS):
        before = set(os.listdir(path.parent))
        run_and_kill(write_both, rng.uniform(0.0, 2.0 * period))
        content = path.read_bytes()
        assert content in wholes, f"a mixture of {len(content)} bytes"
        found[wholes.index(content)] += 1
        found["temporary"] += len(set(os.listdir(path.parent)) - before)
    return found


def test_killed_while_packing(tmp_path):
    """The whole of it: coding takes the most of this time."""
    path = tmp_path / "net.lnx"
    graphs = [synth("resnet20", density=0.1, seed=seed) for seed in (1, 2)]
    wholes = []
    start = time.monotonic()
    for graph in graphs:
        write_lnx(graph, path)
        wholes.append(path.read_bytes())
    period = time.monotonic() - start
    found = kill_often(path, lambda i: write_lnx(graphs[i], path), wholes, random.Random(0), period)
    print(f"{KILLS} kills while packing: {dict(found)}", file=sys.stderr)
    # What was left behind is in nobody's way.
    write_lnx(graphs[0], path)
    verify_lnx(path)
    assert read_lnx(path).nodes[0].name == graphs[0].nodes[0].name


def test_killed_while_writing(tmp_path):
    """The file is large and made beforehand, so that most moments fall into its writing."""
    path = tmp_path / "net.lnx"
    wholes = [bytes([value]) * (1 << 20) for value in (1, 2)]

    def write_one(i):
        with atomic_write(path) as file:
            half = len(wholes[i]) // 2
            file.write(wholes[i][:half])
            file.write(wholes[i][half:])

    start = time.monotonic()
    for i in range(2):
        write_one(i)
    period = time.monotonic() - start
    found = kill_often(path, write_one, wholes, random.Random(1), period)
    print(f"{KILLS} kills while writing: {dict(found)}", file=sys.stderr)
    assert found["temporary"] > 0, "no moment fell into the writing"
    for left in Path(tmp_path).glob(".net.lnx.*.tmp"):
        assert left.stat().st_size <= len(wholes[0])
    write_one(0)
    assert path.read_bytes() == wholes[0]
