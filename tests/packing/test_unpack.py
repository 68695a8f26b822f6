"""Unpacking to safetensors: the weights the runtime uses, or the integers to rebuild them from."""

from __future__ import annotations

import json

import numpy as np
import pytest

safetensors = pytest.importorskip("safetensors", reason="reads safetensors files")
from safetensors.numpy import load_file  # noqa: E402

from lilnetx.errors import OutputError  # noqa: E402
from lilnetx.graph.ir import Conv2d, DenseWeight, Graph, Node  # noqa: E402
from lilnetx.graph.weights import dense_weight  # noqa: E402
from lilnetx.packing import synth, unpack  # noqa: E402


def test_weights(tmp_path):
    graph = synth("resnet20", density=0.2, slice_1x1=4)
    path = tmp_path / "weights.safetensors"
    unpack(graph, path)
    tensors = load_file(path)
    layers = [node for node in graph.nodes if node.weight is not None]
    assert len(tensors) == 2 * len(layers)
    for node in layers:
        weight = tensors[f"{node.name}.weight"]
        assert weight.dtype == np.float32
        np.testing.assert_array_equal(weight, dense_weight(graph, node))
        np.testing.assert_array_equal(tensors[f"{node.name}.bias"], node.bias)


def test_integers(tmp_path):
    graph = synth("resnet20", density=0.2, slice_1x1=4)
    path = tmp_path / "integers.safetensors"
    unpack(graph, path, integers=True)
    tensors = load_file(path)
    with safetensors.safe_open(path, "np") as file:
        facts = json.loads(file.metadata()["lilnetx"])
    assert facts["synthetic"] is True
    assert facts["meta"] == graph.meta
    for node in graph.nodes:
        if node.weight is None:
            continue
        latents = tensors[f"{node.name}.weight"]
        assert latents.dtype == np.int32
        np.testing.assert_array_equal(latents, node.weight.latents)
        # The documented rule rebuilds the runtime's weight bit for bit.
        name = facts["decoders"][node.name]
        matrix = tensors[f"decoder.{name}"].astype(np.float64)
        slices = (latents @ matrix).astype(np.float32) / np.float32(2 ** facts["exponents"][name])
        expected = dense_weight(graph, node)
        rows = slices.reshape(len(slices), -1)[:, : expected[0].size].reshape(expected.shape)
        scale = tensors[f"{node.name}.scale"].reshape(-1, *[1] * (rows.ndim - 1))
        np.testing.assert_array_equal(rows * scale, expected)


def test_a_dense_layer_without_bias_and_a_strided_array(tmp_path):
    values = np.arange(24, dtype=np.float32).reshape(3, 4, 2, 1).transpose(1, 0, 2, 3)
    node = Node("c", Conv2d(3, 4, (2, 1)), ("x",), DenseWeight(values))
    graph = Graph("x", (3, 5, 5), (node,), ("c",))
    for integers in (False, True):
        unpack(graph, tmp_path / "x.safetensors", integers=integers)
        tensors = load_file(tmp_path / "x.safetensors")
        assert list(tensors) == ["c.weight"]
        np.testing.assert_array_equal(tensors["c.weight"], values)


def test_a_folder_that_does_not_exist(tmp_path):
    graph = synth("resnet20", density=0.1)
    with pytest.raises(OutputError):
        unpack(graph, tmp_path / "missing" / "x.safetensors")
