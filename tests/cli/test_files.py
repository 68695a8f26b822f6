"""Commands on a ``.lnx`` file: inspect, verify, unpack, synth, eval."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from lilnetx.cli.main import main
from lilnetx.data import load, normalise
from lilnetx.format import read_lnx, write_lnx
from lilnetx.graph.cost import layer_stats
from lilnetx.reference.ops import run as run_reference
from lilnetx.runtime import Session

INSPECT_KEYS = {
    "file_bytes",
    "bytes_by_section",
    "parameters",
    "dense_fp32_bytes",
    "slices_kxk",
    "zero_slices_kxk",
    "slices_1x1",
    "zero_slices_1x1",
    "macs",
    "macs_left",
    "classes",
    "normalisation",
}


def test_inspect_prints_json_alone(synthetic_lnx, capsys):
    assert main(["inspect", str(synthetic_lnx), "--json"]) == 0
    captured = capsys.readouterr()
    row = json.loads(captured.out)
    assert captured.err == ""
    assert set(row) == INSPECT_KEYS
    size = synthetic_lnx.stat().st_size
    assert row["file_bytes"] == sum(row["bytes_by_section"].values()) == size


def test_inspect_counts_what_the_decoded_network_holds(synthetic_lnx, capsys):
    main(["inspect", str(synthetic_lnx), "--json"])
    row = json.loads(capsys.readouterr().out)
    layers = layer_stats(read_lnx(synthetic_lnx))
    kxk = [layer for layer in layers if layer.kernel != (1, 1)]
    assert row["slices_kxk"] == sum(layer.slices for layer in kxk)
    assert row["zero_slices_kxk"] == sum(layer.zero_slices for layer in kxk)
    assert row["slices_1x1"] == sum(layer.slices for layer in layers) - row["slices_kxk"]
    assert row["macs"] == sum(layer.macs for layer in layers)
    assert row["macs_left"] == sum(layer.macs_left for layer in layers)
    assert row["dense_fp32_bytes"] == 4 * row["parameters"]


def test_inspect_names_layers_and_synthetic_weights(synthetic_lnx, capsys):
    assert main(["inspect", str(synthetic_lnx)]) == 0
    out = capsys.readouterr().out
    assert "SYNTHETIC" in out
    for node in read_lnx(synthetic_lnx).nodes:
        assert node.weight is None or node.name in out


def test_inspect_tells_what_a_device_must_know(synthetic_lnx, tmp_path, capsys):
    graph = read_lnx(synthetic_lnx)
    pixels = {"mean": [0.3], "std": [0.25]}
    main(["inspect", str(synthetic_lnx), "--json"])
    row = json.loads(capsys.readouterr().out)
    assert (row["classes"], row["normalisation"]) == ([], pixels)
    path = tmp_path / "named.lnx"
    for count, shown in ((10, "10: c0, c1, c2, c3, c4, c5, c6, c7, c8, c9\n"), (1000, "c9, ...\n")):
        names = [f"c{i}" for i in range(count)]
        write_lnx(dataclasses.replace(graph, meta={"classes": names, "input": pixels}), path)
        main(["inspect", str(path)])
        out = capsys.readouterr().out
        assert shown in out
        assert "(pixel / 255 - mean) / std, mean 0.3, std 0.25\n" in out
        main(["inspect", str(path), "--json"])
        assert json.loads(capsys.readouterr().out)["classes"] == names
    write_lnx(dataclasses.replace(graph, meta={}), path)
    main(["inspect", str(path)])
    out = capsys.readouterr().out
    assert "classes" not in out
    assert "normalisation" not in out
    main(["inspect", str(path), "--json"])
    assert json.loads(capsys.readouterr().out)["normalisation"] is None


def test_verify_says_that_a_file_is_whole(synthetic_lnx, capsys):
    assert main(["verify", str(synthetic_lnx)]) == 0
    assert "whole" in capsys.readouterr().out


def test_unpack_with_integers_gives_the_latents(synthetic_lnx, tmp_path, capsys):
    safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    out = tmp_path / "latents.safetensors"
    assert main(["unpack", str(synthetic_lnx), "--integers", "-o", str(out)]) == 0
    tensors = safetensors.load_file(out)
    for node in read_lnx(synthetic_lnx).nodes:
        if node.weight is not None:
            np.testing.assert_array_equal(tensors[f"{node.name}.weight"], node.weight.latents)


def test_unpack_to_onnx_gives_the_same_outputs(synthetic_lnx, tmp_path, capsys):
    pytest.importorskip("onnx", reason="builds ONNX models")
    onnxruntime = pytest.importorskip("onnxruntime", reason="runs ONNX models")
    out = tmp_path / "dense.onnx"
    assert main(["unpack", str(synthetic_lnx), "-o", str(out)]) == 0
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(2).normal(size=(3, 1, 28, 28)).astype(np.float32)
    (found,) = session.run(None, {session.get_inputs()[0].name: x})
    expected = Session(synthetic_lnx, threads=1, tune=False).run(x)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    assert main(["unpack", str(synthetic_lnx), "-o", str(out), "--integers"]) == 2
    assert "safetensors" in capsys.readouterr().err


def test_synth_has_the_density_asked_for(tmp_path, capsys):
    out = tmp_path / "net.lnx"
    argv = ["synth", "resnet20", "--density", "0.25", "--slice-1x1", "4", "--seed", "7"]
    assert main([*argv, "-o", str(out)]) == 0
    assert "SYNTHETIC" in capsys.readouterr().out
    main(["inspect", str(out), "--json"])
    row = json.loads(capsys.readouterr().out)
    # The first convolution stays dense, so the share is a little above.
    left = 1 - row["zero_slices_kxk"] / row["slices_kxk"]
    assert 0.25 <= left < 0.26
    again = tmp_path / "again.lnx"
    main([*argv, "-o", str(again)])
    assert again.read_bytes() == out.read_bytes()


@pytest.mark.parametrize("batch", [1, 32, 100])
def test_eval_counts_like_the_reference(batch, synthetic_lnx, tiny_fashion_mnist, capsys):
    data = load("fashion-mnist", tiny_fashion_mnist)
    graph = read_lnx(synthetic_lnx)
    inputs = normalise(data.test_images, tuple(graph.meta["input"]["mean"]), (0.25,))
    (logits,) = run_reference(graph, inputs)
    expected = int((logits.argmax(axis=1) == data.test_labels).sum())
    argv = ["eval", str(synthetic_lnx), "--data", "fashion-mnist"]
    options = ["--data-root", str(tiny_fashion_mnist), "--threads", "1", "--batch", str(batch)]
    assert main([*argv, *options, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {
        "top1": expected / 100,
        "correct": expected,
        "images": 100,
    }


def test_eval_takes_the_data_set_from_the_file(synthetic_lnx, tiny_fashion_mnist, capsys):
    argv = ["eval", str(synthetic_lnx), "--data-root", str(tiny_fashion_mnist), "--threads", "1"]
    assert main(argv) == 0
    assert "of 100 test images of fashion-mnist" in capsys.readouterr().out
