from __future__ import annotations

import hashlib

import pytest
from assemble_golden import PATH, golden_bytes, golden_graph
from graphs import assert_same

from lilnetx.errors import CorruptSectionError
from lilnetx.format import inspect_lnx, read_lnx, verify_lnx, write_lnx
from lilnetx.graph.shapes import infer_shapes


def test_the_golden_file_is_what_the_text_says():
    assert PATH.read_bytes() == golden_bytes()


def test_the_golden_file_has_not_changed():
    digest = hashlib.sha256(PATH.read_bytes()).hexdigest()
    assert digest == "c9442850a58a4902315c9e03bcdf855a6fc1a25f407549d7a02d69fd912f37f7"


def test_the_reader_understands_it():
    graph = read_lnx(PATH)
    assert_same(graph, golden_graph())
    assert infer_shapes(graph)["soft"] == (3,)


def test_the_writer_writes_the_same_bytes(tmp_path):
    write_lnx(golden_graph(), tmp_path / "net.lnx")
    assert (tmp_path / "net.lnx").read_bytes() == PATH.read_bytes()


def test_verify_finds_the_infinite_bias():
    with pytest.raises(CorruptSectionError, match=r"stem\.ä.*finite biases"):
        verify_lnx(PATH)


def test_inspect():
    summary = inspect_lnx(PATH)
    assert summary.synthetic
    assert summary.file_bytes == PATH.stat().st_size
    assert (summary.slices_kxk, summary.zero_slices_kxk) == (12, 6)
    assert (summary.slices_1x1, summary.zero_slices_1x1) == (6, 2)
    assert summary.parameters == 4 * 18 + 4 + 12 + 12 + 3
    assert summary.macs == 72 * 30 + 12 * 30 + 12
    assert summary.macs_left == 27 * 30 + 9 * 30 + 8
