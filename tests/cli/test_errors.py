"""Bad input: one line on standard error, exit code 2, nothing half-written."""

from __future__ import annotations

import dataclasses
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lilnetx._core import crc32c
from lilnetx.cli.main import main
from lilnetx.format import read_lnx, write_lnx


def error_of(argv, capsys) -> str:
    """The one line that a failing command prints."""
    assert main([str(argument) for argument in argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("lilnetx: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def changed(source: Path, target: Path, change) -> Path:
    data = bytearray(source.read_bytes())
    target.write_bytes(bytes(change(data)))
    return target


def with_byte_flipped(data: bytearray) -> bytearray:
    data[len(data) // 2] ^= 0x10
    return data


def with_newer_version(data: bytearray) -> bytearray:
    data[8:12] = struct.pack("<I", 999)
    data[60:64] = struct.pack("<I", crc32c(bytes(data[:60])))
    return data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "lnx"),
        (lambda data: b"PK\x03\x04" + data[4:], "lnx"),
        (lambda data: data[:40], ""),
        (lambda data: data[:-1], ""),
        (lambda data: data + b"\0", ""),
        (with_byte_flipped, ""),
        (with_newer_version, "999"),
    ],
    ids=["empty", "other-magic", "header-cut", "cut", "longer", "flipped", "newer"],
)
@pytest.mark.parametrize("command", ["verify", "eval", "bench", "unpack"])
def test_damaged_files(command, change, message, synthetic_lnx, tmp_path, capsys):
    path = changed(synthetic_lnx, tmp_path / "bad.lnx", change)
    out = tmp_path / "out.safetensors"
    argv = [command, path, *(["-o", out] if command == "unpack" else [])]
    line = error_of(argv, capsys)
    assert "bad.lnx" in line
    assert message in line
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("command", ["inspect", "verify", "eval", "bench"])
def test_a_file_that_is_not_there(command, tmp_path, capsys):
    assert "gone.lnx" in error_of([command, tmp_path / "gone.lnx"], capsys)


def test_a_folder_instead_of_a_file(tmp_path, capsys):
    error_of(["inspect", tmp_path], capsys)


def test_eval_without_data(synthetic_lnx, tmp_path, capsys):
    line = error_of(["eval", synthetic_lnx, "--data-root", tmp_path], capsys)
    assert "fashion-mnist" in line
    assert "LILNETX_DATA" in line


def test_eval_on_an_unknown_data_set(synthetic_lnx, capsys):
    assert "fashion-mnist" in error_of(["eval", synthetic_lnx, "--data", "mnist"], capsys)


def test_eval_on_images_of_another_shape(synthetic_lnx, tmp_path, capsys):
    record = np.zeros((5, 3073), np.uint8)
    for i in range(1, 6):
        record.tofile(tmp_path / f"data_batch_{i}.bin")
    record.tofile(tmp_path / "test_batch.bin")
    argv = ["eval", synthetic_lnx, "--data", "cifar-10", "--data-root", tmp_path]
    line = error_of(argv, capsys)
    assert "(1, 28, 28)" in line
    assert "(3, 32, 32)" in line


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({}, "--data"),
        ({"dataset": "fashion-mnist"}, "normalisation"),
        ({"dataset": "fashion-mnist", "input": {"mean": "x"}}, "normalisation"),
    ],
)
def test_eval_of_a_file_without_facts(
    meta, message, synthetic_lnx, tiny_fashion_mnist, tmp_path, capsys
):
    path = tmp_path / "bare.lnx"
    write_lnx(dataclasses.replace(read_lnx(synthetic_lnx), meta=meta), path)
    assert message in error_of(["eval", path, "--data-root", tiny_fashion_mnist], capsys)


@pytest.mark.parametrize(
    "argv",
    [
        ["synth", "resnet20", "--density", "0.5"],
        ["unpack", "x.lnx"],
        ["pack", "x.pt"],
    ],
)
def test_output_folders_are_checked_first(argv, tmp_path, capsys):
    line = error_of([*argv, "-o", tmp_path / "no" / "out"], capsys)
    assert "does not exist" in line
    assert "is a folder" in error_of([*argv, "-o", tmp_path], capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["resnet99", "--density", "0.5"], "resnet50"),
        (["resnet20", "--density", "1.5"], "density"),
    ],
)
def test_synth_refuses_what_it_cannot_make(options, message, tmp_path, capsys):
    assert message in error_of(["synth", *options, "-o", tmp_path / "x.lnx"], capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--isa", "avx1024"], "avx1024"),
        (["--against", "tensorflow"], "onnxruntime"),
        (["--pin", "4096"], "cores"),
    ],
)
def test_bench_refuses_unknown_choices(options, message, synthetic_lnx, capsys):
    argv = ["bench", synthetic_lnx, "--against", "none", *options]
    assert message in error_of(argv, capsys)


def test_isa_override_by_the_environment(synthetic_lnx, tiny_fashion_mnist, monkeypatch, capsys):
    monkeypatch.setenv("LILNETX_ISA", "sve2")
    line = error_of(["eval", synthetic_lnx, "--data-root", tiny_fashion_mnist], capsys)
    assert "sve2" in line


@pytest.mark.parametrize(
    ("package", "argv", "extra"),
    [
        ("torch", ["train", "resnet20"], "train"),
        ("torch", ["pack", "x.pt", "-o", "x.lnx"], "train"),
        ("safetensors", ["unpack", "FILE", "-o", "x.safetensors"], "export"),
        ("openvino", ["bench", "FILE", "--against", "openvino"], "bench"),
        ("onnxruntime", ["bench", "FILE", "--against", "onnxruntime"], "bench"),
        ("torch", ["bench", "FILE", "--against", "torch"], "bench"),
    ],
)
def test_a_missing_extra_is_named_with_its_command(package, argv, extra, synthetic_lnx, tmp_path):
    argv = [str(synthetic_lnx) if argument == "FILE" else argument for argument in argv]
    code = (
        f"import sys; sys.modules[{package!r}] = None; "
        f"from lilnetx.cli.main import main; sys.exit(main({argv!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("lilnetx: error: ")
    assert done.stderr.count("\n") == 1
    assert f"'{package}'" in done.stderr
    assert f"pip install 'lilnetx[{extra}]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["synth", "resnet20", "--density", "0.2", "--seed", "-1", "-o", "x.lnx"], "at least 0"),
        (
            ["synth", "resnet20", "--density", "0.2", "--slice-1x1", "999", "-o", "x.lnx"],
            "1 to 256",
        ),
        (["bench", "--seconds", "nan"], "finite"),
        (["bench", "--seed", "-1"], "at least 0"),
    ],
)
def test_numbers_that_cannot_work(argv, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(argv)
    except SystemExit as stop:
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "option"),
    [("unpack", "-o"), ("bench", "--csv"), ("bench", "--json"), ("inspect", "--svg")],
)
def test_the_input_is_never_the_output(command, option, synthetic_lnx, tmp_path, capsys):
    before = synthetic_lnx.read_bytes()
    link = tmp_path / "link.lnx"
    link.symlink_to(synthetic_lnx)
    for output in (synthetic_lnx, link):
        message = error_of([command, synthetic_lnx, option, output], capsys)
        assert "is the input as well" in message
        assert synthetic_lnx.read_bytes() == before


def test_bench_writes_two_tables_to_two_files(synthetic_lnx, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    argv = ["bench", synthetic_lnx, "--csv", "out", "--json", tmp_path / "out"]
    assert "--json and --csv name the same file" in error_of(argv, capsys)
    assert not list(tmp_path.iterdir())


def test_eval_wants_one_value_for_each_class(synthetic_lnx, tiny_fashion_mnist, tmp_path, capsys):
    graph = read_lnx(synthetic_lnx)
    end = next(node for node in graph.nodes if node.name == graph.outputs[0]).inputs[0]
    meta = {"input": {"mean": [0.5], "std": [0.25]}, "dataset": "fashion-mnist"}
    path = tmp_path / "pixels.lnx"
    write_lnx(dataclasses.replace(graph, outputs=(end,), nodes=graph.nodes[:-1], meta=meta), path)
    message = error_of(["eval", path, "--data-root", tiny_fashion_mnist], capsys)
    assert "one for each of its 10 classes" in message


@pytest.mark.parametrize(
    "meta",
    [
        {"input": {"mean": [0.5], "std": [0.2, 0.2]}, "dataset": "fashion-mnist"},
        {"input": {"mean": [0.5], "std": [0.0]}, "dataset": "fashion-mnist"},
        {"input": {"mean": [0.5], "std": [0.2]}, "dataset": ["fashion-mnist"]},
    ],
)
def test_eval_refuses_meta_that_does_not_fit(synthetic_lnx, meta, tmp_path, capsys):
    path = tmp_path / "odd.lnx"
    write_lnx(dataclasses.replace(read_lnx(synthetic_lnx), meta=meta), path)
    message = error_of(["eval", path], capsys)
    wanted = "give --data" if isinstance(meta["dataset"], list) else "no usable input normalisation"
    assert wanted in message
