"""From a trained model to a file and back: nothing is lost on the way."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="packs torch models")
from test_freeze import SHAPE, compressed, network  # noqa: E402

from lilnetx.errors import OutputError, UnsupportedOperatorError  # noqa: E402
from lilnetx.format import read_lnx, write_lnx  # noqa: E402
from lilnetx.graph.ir import DenseWeight, LatentWeight  # noqa: E402
from lilnetx.packing import freeze, pack, synth, unpack  # noqa: E402
from lilnetx.reference import run  # noqa: E402


def assert_same_graph(actual, expected):
    for field in ("input_name", "input_shape", "outputs", "synthetic"):
        assert getattr(actual, field) == getattr(expected, field)
    assert dict(actual.meta) == dict(expected.meta)
    assert set(actual.decoders) == set(expected.decoders)
    for name, decoder in expected.decoders.items():
        assert actual.decoders[name].exponent == decoder.exponent
        np.testing.assert_array_equal(actual.decoders[name].matrix, decoder.matrix)
    assert len(actual.nodes) == len(expected.nodes)
    for a, e in zip(actual.nodes, expected.nodes, strict=True):
        assert (a.name, a.op, a.inputs, type(a.weight)) == (e.name, e.op, e.inputs, type(e.weight))
        if isinstance(e.weight, LatentWeight):
            assert a.weight.decoder == e.weight.decoder
            np.testing.assert_array_equal(a.weight.latents, e.weight.latents)
        elif isinstance(e.weight, DenseWeight):
            assert a.weight.values.tobytes() == e.weight.values.tobytes()
        for vector in ("scale", "bias"):
            x, y = getattr(a, vector), getattr(e, vector)
            assert (x is None) == (y is None)
            assert x is None or x.tobytes() == y.tobytes()


@pytest.mark.parametrize("side_bits", [0, 12])
@pytest.mark.parametrize("slice_1x1", [1, 4])
def test_round_trip(tmp_path, slice_1x1, side_bits):
    model, handle = compressed(slice_1x1=slice_1x1, exclude=("10",))
    path = tmp_path / "model.lnx"
    meta = {"classes": ["é", "b"], "input": {"mean": [0.5], "std": [0.25]}}
    graph = pack(model, path, input_shape=SHAPE, side_bits=side_bits, meta=meta)
    stored = read_lnx(path)
    assert_same_graph(stored, graph)
    for layer in handle.layers:
        latents = stored.node(layer.name).weight.latents
        np.testing.assert_array_equal(latents, layer.integers().numpy())
    x = np.random.default_rng(0).standard_normal((2, *SHAPE))
    np.testing.assert_array_equal(run(stored, x)[0], run(graph, x)[0])


def test_a_plain_model(tmp_path):
    path = tmp_path / "model.lnx"
    graph = pack(network(), path, input_shape=SHAPE)
    assert_same_graph(read_lnx(path), graph)


def test_short_side_data_makes_the_file_smaller(tmp_path):
    model, _ = compressed()
    sizes = []
    for bits in (0, 16, 12, 8):
        pack(model, tmp_path / "model.lnx", input_shape=SHAPE, side_bits=bits)
        sizes.append((tmp_path / "model.lnx").stat().st_size)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


def test_synthetic_networks(tmp_path):
    graph = synth("resnet20", density=0.19, slice_1x1=4, seed=3)
    write_lnx(graph, tmp_path / "synth.lnx")
    assert_same_graph(read_lnx(tmp_path / "synth.lnx"), graph)


def test_unpack_reads_a_file(tmp_path):
    numpy_files = pytest.importorskip("safetensors.numpy", reason="reads safetensors files")
    model, handle = compressed()
    pack(model, tmp_path / "model.lnx", input_shape=SHAPE)
    unpack(tmp_path / "model.lnx", tmp_path / "model.safetensors", integers=True)
    tensors = numpy_files.load_file(tmp_path / "model.safetensors")
    for layer in handle.layers:
        np.testing.assert_array_equal(tensors[f"{layer.name}.weight"], layer.integers().numpy())


def test_a_model_that_cannot_be_packed_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.lnx"
    pack(network(), path, input_shape=SHAPE)
    before = path.read_bytes()
    with pytest.raises(UnsupportedOperatorError):
        pack(torch.nn.Sequential(network(), torch.nn.Tanh()), path, input_shape=SHAPE)
    assert path.read_bytes() == before
    with pytest.raises(OutputError):
        pack(network(), tmp_path / "missing" / "model.lnx", input_shape=SHAPE)
    assert [p.name for p in tmp_path.iterdir()] == ["model.lnx"]


def test_freeze_and_pack_give_one_graph(tmp_path):
    model, _ = compressed()
    assert_same_graph(pack(model, tmp_path / "model.lnx", input_shape=SHAPE), freeze(model, SHAPE))
