"""``lilnetx check`` and ``pack`` of models from elsewhere, and what a new user would do wrong."""

from __future__ import annotations

import dataclasses
import json
import re
import sys

import numpy as np
import pytest

import lilnetx
from lilnetx import reference
from lilnetx.cli.main import main
from lilnetx.errors import InputError

onnx = pytest.importorskip("onnx", reason="reads ONNX models")
helper, FLOAT = onnx.helper, 1


def save(path, nodes, *, shape=("N", 3, 8, 8), outputs=("y",), opset=17, stored=(), dtype=FLOAT):
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in stored],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)
    return path


WEIGHT = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
CONV = helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1])


@pytest.fixture
def good(tmp_path):
    nodes = [CONV, helper.make_node("Relu", ["c"], ["y"])]
    return save(tmp_path / "good.onnx", nodes, stored=[("w", WEIGHT)])


@pytest.fixture
def bad(tmp_path):
    nodes = [
        helper.make_node("Tanh", ["x"], ["t"], name="first"),
        helper.make_node("Conv", ["t", "w"], ["c"]),
        helper.make_node("LSTM", ["c", "w", "w"], ["l"], name="second"),
        helper.make_node("Transpose", ["c"], ["p"], perm=[1, 0, 2, 3], name="third"),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    return save(tmp_path / "bad.onnx", nodes, outputs=("y", "l", "p"), stored=[("w", WEIGHT)])


def run(capsys, *args, code=0):
    assert main([str(arg) for arg in args]) == code
    out = capsys.readouterr()
    assert "Traceback" not in out.err
    return out.out, out.err


def test_pack_and_run(good, tmp_path, capsys):
    out, _ = run(capsys, "check", good)
    assert "2 operators are supported (Conv 1, Relu 1)" in out
    out, _ = run(capsys, "pack", good, "-o", tmp_path / "m.lnx")
    assert "float32 weights as they were; images of 3x8x8" in out
    session = lilnetx.Session(tmp_path / "m.lnx", threads=1)
    x = np.random.default_rng(1).normal(size=(3, 3, 8, 8)).astype(np.float32)
    y = session.run({"x": x})
    assert y.shape == (3, 4, 8, 8)
    out, _ = run(capsys, "check", tmp_path / "m.lnx")
    assert "Conv2d 1" in out


def test_images_of_any_size(tmp_path, capsys):
    pool = helper.make_node("GlobalAveragePool", ["c"], ["p"])
    flat = helper.make_node("Flatten", ["p"], ["y"])
    path = save(
        tmp_path / "free.onnx",
        [CONV, pool, flat],
        shape=("N", 3, "H", "W"),
        stored=[("w", WEIGHT)],
    )
    out, _ = run(capsys, "pack", path, "-o", tmp_path / "f.lnx", "--input-shape", "3x10x12")
    assert "images of 3x10x12, other heights and widths too" in out
    session = lilnetx.Session(tmp_path / "f.lnx", threads=1)
    assert session.free_size
    rng = np.random.default_rng(2)
    for size in ((10, 12), (17, 5), (10, 12), (31, 32), (8, 8), (9, 9), (7, 7)):
        x = rng.normal(size=(2, 3, *size)).astype(np.float32)
        graph = dataclasses.replace(session.graph, input_shape=(3, *size))
        np.testing.assert_allclose(session.run(x), reference.run(graph, x)[0], atol=1e-5)
    with pytest.raises(InputError, match=r"expected \(N, 3, H, W\)"):
        session.run(np.zeros((1, 4, 8, 8), np.float32))


def test_everything_unsupported_at_once(bad, tmp_path, capsys):
    out, _ = run(capsys, "check", bad, code=1)
    lines = [line for line in out.splitlines() if line.startswith("not supported")]
    assert len(lines) == 3
    for line, words in zip(
        lines, (("'first'", "Tanh"), ("'second'", "LSTM"), ("'third'", "batch")), strict=True
    ):
        assert all(word in line for word in words)
    report = json.loads(run(capsys, "check", bad, "--json", code=1)[0])
    assert [p["operator"] for p in report["problems"]] == ["Tanh", "LSTM", "Transpose"]
    assert report["supported"] == {"Conv": 1, "Relu": 1}
    _, err = run(capsys, "pack", bad, "-o", tmp_path / "bad.lnx", code=2)
    assert "node 'first': operator Tanh is not supported" in err
    assert "and 2 more; 'lilnetx check' lists all" in err
    assert not (tmp_path / "bad.lnx").exists()


def test_exported_programs(tmp_path, capsys):
    torch = pytest.importorskip("torch", reason="exports torch programs")
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()).eval()
    x = torch.randn(1, 3, 8, 8)
    torch.export.save(torch.export.export(network, (x,)), tmp_path / "m.pt2")
    run(capsys, "check", tmp_path / "m.pt2")
    run(capsys, "pack", tmp_path / "m.pt2", "-o", tmp_path / "m.lnx")
    y = lilnetx.Session(tmp_path / "m.lnx", threads=1).run(x.numpy())
    np.testing.assert_allclose(y, network(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    bad = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Tanh(), torch.nn.ELU()).eval()
    torch.export.save(torch.export.export(bad, (x,)), tmp_path / "bad.pt2")
    out, _ = run(capsys, "check", tmp_path / "bad.pt2", code=1)
    assert "aten.tanh" in out
    assert "aten.elu" in out


# What a new user would do wrong: the command's arguments after the files made below, and what the
# one line must say.
WRONG = {
    "not-onnx": (["check", "text.onnx"], "text.onnx: is no ONNX model"),
    "empty-onnx": (["pack", "empty.onnx", "-o", "m.lnx"], "holds no graph"),
    "missing-file": (["check", "missing.onnx"], "missing.onnx: no such file"),
    "state-dict": (["pack", "weights.pth", "-o", "m.lnx"], "not a checkpoint of lilnetx train"),
    "python-file": (["pack", "model.py", "-o", "m.lnx"], "export the model to ONNX"),
    "old-opset": (["pack", "old.onnx", "-o", "m.lnx"], "opset 11, expected 13.*convert_version"),
    "integers": (["pack", "ints.onnx", "-o", "m.lnx"], "input 'x' is no float32 tensor"),
    "open-channels": (["pack", "open.onnx", "-o", "m.lnx"], "number of channels open"),
    "fixed-size": (
        ["pack", "good.onnx", "-o", "m.lnx", "--input-shape", "3x9x9"],
        r"'x' takes \(3, 8, 8\), not \(3, 9, 9\)",
    ),
    "no-shape": (["pack", "good.onnx", "-o", "m.lnx", "--input-shape", "big"], "such as 3x224x224"),
    "wrong-input": (
        ["pack", "good.onnx", "-o", "m.lnx", "--input-shape", "image:3x8x8"],
        "no input 'image'; the model takes 'x'",
    ),
    "packed-already": (["pack", "good.lnx", "-o", "m.lnx"], "is packed already"),
    "batch-mixed": (["pack", "mixed.onnx", "-o", "m.lnx"], "batch.*must stay"),
    "not-a-program": (["check", "text.pt2"], "is no exported program"),
    "same-file": (["pack", "good.onnx", "-o", "good.onnx"], "is the input as well"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch, good, capsys):
    """The files that the wrong commands name."""
    (tmp_path / "text.onnx").write_text("no protocol buffer")
    (tmp_path / "text.pt2").write_text("no archive")
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "model.py").write_text("import torch\n")
    relu = helper.make_node("Relu", ["x"], ["y"])
    save(tmp_path / "old.onnx", [relu], opset=11)
    save(tmp_path / "ints.onnx", [relu], dtype=7)
    save(tmp_path / "open.onnx", [relu], shape=("N", "C", "H", "W"))
    shape = [("s", np.array([-1, 8], np.int64))]
    reshape = helper.make_node("Reshape", ["x", "s"], ["y"])
    save(tmp_path / "mixed.onnx", [reshape], stored=shape)
    assert main(["pack", str(good), "-o", str(tmp_path / "good.lnx")]) == 0
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", WRONG)
def test_wrong_uses(name, folder, capsys):
    args, message = WRONG[name]
    if name in ("state-dict", "not-a-program"):
        torch = pytest.importorskip("torch", reason="reads torch's files")
        torch.save({"weight": torch.zeros(3)}, folder / "weights.pth")
    _, err = run(capsys, *args, code=2)
    assert err.count("\n") == 1
    assert err.startswith("lilnetx: error: ")
    assert re.search(message, err), err
    assert not (folder / "m.lnx").exists()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (lambda x: ({"image": x},), "found inputs 'image', expected 'x'"),
        (lambda x: (x, x), r"found 2 input\(s\), expected 1: 'x'"),
        (lambda x: (x[0],), r"input has shape \(3, 8, 8\), expected \(N, 3, 8, 8\)"),
        (lambda x: (x[:, :, 1:],), "input has shape"),
        (lambda x: (x.astype(np.float64),), r"float64, expected float32: use x.astype"),
        (lambda x: (x.tolist(),), "input is a list, expected a float32 numpy array"),
    ],
)
def test_wrong_inputs(inputs, message, good, tmp_path, capsys):
    run(capsys, "pack", good, "-o", tmp_path / "m.lnx")
    session = lilnetx.Session(tmp_path / "m.lnx", threads=1)
    with pytest.raises(InputError, match=message):
        session.run(*inputs(np.zeros((1, 3, 8, 8), np.float32)))


def test_missing_package(good, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    _, err = run(capsys, "check", good, code=2)
    assert "needs the package 'onnx', which is not installed: run  pip install" in " ".join(
        err.split("\n")
    ).replace("run pip", "run  pip")


def test_commands_on_a_packed_model_of_all_kinds(tmp_path, capsys):
    """Scales of channels and constants are no layers, and in no command's way."""
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("BatchNormalization", ["r", "s", "s", "s", "s"], ["n"], name="norm"),
        helper.make_node("Mul", ["n", "k"], ["m"]),
        helper.make_node("Conv", ["m", "w"], ["y"], name="conv"),
    ]
    columns = np.linspace(0, 1, 8, dtype=np.float32)
    stored = [("w", WEIGHT), ("s", np.ones(3, np.float32)), ("k", columns)]
    path = save(tmp_path / "all.onnx", nodes, stored=stored)
    packed = tmp_path / "all.lnx"
    run(capsys, "pack", path, "-o", packed)
    out, _ = run(capsys, "inspect", packed, "--bytes", "--svg", tmp_path / "all.svg")
    assert "norm" in out
    facts = json.loads(run(capsys, "inspect", packed, "--json")[0])
    assert facts["parameters"] == 4 * 27 + 2 * 3 + 8
    run(capsys, "verify", packed)
    run(capsys, "diff", packed, packed)
    pytest.importorskip("safetensors", reason="writes safetensors")
    run(capsys, "unpack", packed, "-o", tmp_path / "all.safetensors")
    run(capsys, "unpack", packed, "-o", tmp_path / "all.safetensors", "--integers")
    run(capsys, "unpack", packed, "-o", tmp_path / "again.onnx")
    run(capsys, "check", tmp_path / "again.onnx")
