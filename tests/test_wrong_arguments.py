"""Arguments of a wrong type are refused in one line, which says what to pass."""

from __future__ import annotations

import numpy as np
import pytest

import lilnetx
from lilnetx.errors import GraphError, InputError, LnxFormatError, OutputError, PackError
from lilnetx.format import diff_lnx, inspect_lnx, verify_lnx
from lilnetx.packing import freeze, unpack

NO_PATHS = [None, 3, b"net.lnx", {"conv.weight": 1}, ["net.lnx"], np.zeros(3)]
NO_MODULES = [None, "model.pth", {"conv.weight": 1}, lilnetx.Graph("x", (3, 8, 8), (), ("x",))]
NO_SHAPES = [None, 32, "3x8x8", (3, 8.0, 8), ["3", 8, 8], (3, -8, 8), np.array([3, 8, 8])]


def kind(value: object) -> str:
    return f"{type(value).__name__} {value!s:.20}"


def line_of(error: type[Exception], call, *args, **kwargs) -> str:
    with pytest.raises(error) as caught:
        call(*args, **kwargs)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("value", NO_PATHS, ids=kind)
def test_what_is_no_path_is_not_read(value, synthetic_lnx):
    for read in (lilnetx.read_lnx, verify_lnx, inspect_lnx):
        line = line_of(LnxFormatError, read, value)
        assert line == f"found {type(value).__name__}, expected the path of a .lnx file"
    line_of(LnxFormatError, diff_lnx, synthetic_lnx, value)
    line = line_of(InputError, lilnetx.Session, value)
    assert "a .lnx file or a lilnetx.Graph; a model is packed first (lilnetx.pack)" in line


def test_unpack_reads_and_writes_paths(synthetic_lnx, tmp_path):
    pytest.importorskip("safetensors", reason="safetensors is not installed: unpack needs it")
    line_of(LnxFormatError, unpack, {}, tmp_path / "out.safetensors")
    line_of(OutputError, unpack, synthetic_lnx, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", NO_PATHS, ids=kind)
def test_what_is_no_path_is_not_written(value, synthetic_lnx):
    graph = lilnetx.read_lnx(synthetic_lnx)
    line = line_of(OutputError, lilnetx.write_lnx, graph, value)
    assert line == f"found {type(value).__name__}, expected the path of the file to write"


@pytest.mark.parametrize("value", [None, "net.lnx", {}], ids=kind)
def test_what_is_no_graph_is_not_written(value, tmp_path):
    assert "lilnetx.Graph" in line_of(GraphError, lilnetx.write_lnx, value, tmp_path / "net.lnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", [1]], ids=kind)
def test_threads_are_whole_numbers_from_one(threads, synthetic_lnx):
    for call in (lilnetx.Session, lilnetx.read_lnx):
        line = line_of(InputError, call, synthetic_lnx, threads=threads)
        assert line == f"threads={threads!r}: expected a whole number, at least 1"
    assert lilnetx.Session(synthetic_lnx, threads=np.int64(1)).threads == 1


@pytest.mark.parametrize("value", NO_MODULES, ids=kind)
def test_what_is_no_module_is_refused(value, tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed: models need it")
    from lilnetx.graph.from_torch import from_exported, from_torch
    from lilnetx.nn import pack_slices

    words = "load it into its model and pass that"
    path = tmp_path / "net.lnx"
    assert words in line_of(PackError, lilnetx.pack, value, path, input_shape=(3, 8, 8))
    assert words in line_of(PackError, freeze, value, (3, 8, 8))
    assert words in line_of(InputError, from_torch, value, (3, 8, 8))
    assert words in line_of(InputError, lilnetx.sparsify, value)
    assert words in line_of(InputError, lilnetx.sparsify, value, inplace=True)
    assert words in line_of(InputError, pack_slices, value)
    assert "lilnetx.sparsify" in line_of(InputError, lilnetx.SparseConv2d.from_dense, value)
    line_of(InputError, lilnetx.SparseConv2d.from_dense, torch.nn.Linear(2, 2))
    assert ".pt2" in line_of(InputError, from_exported, value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", NO_SHAPES, ids=kind)
def test_what_is_no_shape_is_refused(shape, tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed: models need it")
    path = tmp_path / "net.lnx"
    line = line_of(InputError, lilnetx.pack, torch.nn.Conv2d(3, 4, 3), path, input_shape=shape)
    assert "such as (3, 224, 224)" in line


@pytest.mark.parametrize(
    "options", [{"meta": "a"}, {"meta": [1]}, {"side_bits": "6"}, {"side_bits": 6.5}], ids=str
)
def test_what_cannot_be_stored_is_refused(options, tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed: models need it")
    path = tmp_path / "net.lnx"
    model = torch.nn.Conv2d(3, 4, 3)
    (name,) = options
    line = line_of(PackError, lilnetx.pack, model, path, input_shape=(3, 8, 8), **options)
    assert name in line


def test_onnx_is_read_and_made_of_the_right_things():
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    from lilnetx.graph.from_onnx import from_onnx
    from lilnetx.graph.to_onnx import to_onnx

    line_of(InputError, from_onnx, onnx.GraphProto())
    assert "lilnetx.read_lnx" in line_of(GraphError, to_onnx, "net.lnx")
