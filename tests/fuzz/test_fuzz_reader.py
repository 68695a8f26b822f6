"""A short run of the fuzzers; `make fuzz` runs them for as long as one likes."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest
import reader_target as target
from mutate import assemble, disassemble, mutate

import lilnetx.models
from lilnetx.errors import CorruptSectionError, OutOfMemoryError
from lilnetx.format import read_lnx, weight_sinks, write_lnx
from lilnetx.graph.ir import Graph, Node, Relu
from lilnetx.runtime import Session

FOLDER = Path(__file__).parent


def test_assembling_undoes_disassembling():
    shipped = next(Path(lilnetx.models.__path__[0]).glob("*.lnx")).read_bytes()
    for data in (*target.good_files(), shipped):
        version, flags, sections = disassemble(data)
        assert assemble(sections, version=version, flags=flags) == data


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # Of NaN in weights.
def test_damage_behind_right_checksums_is_refused_or_harmless(tmp_path):
    rng = random.Random(20)
    path = tmp_path / "damaged.lnx"
    bases = target.good_files()
    good = 0
    for _ in range(1000):
        path.write_bytes(mutate(rng.choice(bases), bases, rng))
        good += target.try_file(path)
    assert 10 < good < 500


def test_a_finding_is_noticed(tmp_path, monkeypatch):
    path = tmp_path / "net.lnx"
    path.write_bytes(target.good_files()[0])
    assert target.try_file(path)

    def differs(_):
        raise CorruptSectionError("of its own")

    monkeypatch.setattr(target, "read_packed", differs)
    with pytest.raises(target.FindingError, match="of its own"):
        target.try_file(path)


def test_a_value_that_no_memory_holds(tmp_path):
    """The shape is within the caps; a file of a hundred bytes may ask for it."""
    graph = Graph("x", (1 << 20,) * 3, (Node("y", Relu(), ("x",)),), ("y",))
    write_lnx(graph, tmp_path / "net.lnx")
    with pytest.raises(OutOfMemoryError, match=r"largest value has 1152921504606846976 elements"):
        Session(tmp_path / "net.lnx", threads=1)


def test_weights_that_no_memory_holds(tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError

    path = tmp_path / "net.lnx"
    path.write_bytes(target.good_files()[1])
    monkeypatch.setattr(weight_sinks, "decode_latents", fail)
    with pytest.raises(OutOfMemoryError, match=r"net\.lnx: not enough memory for 48 weights"):
        read_lnx(path)


@pytest.mark.skipif(
    "LILNETX_FUZZ_PROGRAM" not in os.environ,
    reason="LILNETX_FUZZ_PROGRAM names no program: run 'make sanitize' or 'make fuzz'",
)
def test_the_decoder_under_sanitizers(tmp_path):
    command = [os.environ["LILNETX_FUZZ_PROGRAM"], "-runs=4000", "-seed=1", "-max_len=1024"]
    # libFuzzer writes what is new into the first folder.
    (tmp_path / "new").mkdir()
    corpus = [str(tmp_path / "new"), str(FOLDER / "corpus/codec")]
    result = subprocess.run(
        [*command, *corpus], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    assert "Done " in result.stdout + result.stderr
