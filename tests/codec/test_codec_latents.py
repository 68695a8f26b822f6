from __future__ import annotations

import numpy as np
import pytest
from corpus import order0_bytes, resnet20_latents, sparse_latents, xz_bytes

from lilnetx import _core
from lilnetx.reference import codec as reference

LIMIT = 32767


def counts(weights):
    return [int(weight.any(axis=2).sum()) for weight in weights]


def encode(weights, models):
    return _core.encode_latents(weights, models, counts(weights))


def decode(data, weights, models, nonzero=None):
    """Decodes into fresh arrays; (defect, arrays)."""
    out = [np.zeros_like(weight) for weight in weights]
    nonzero = counts(weights) if nonzero is None else nonzero
    defects = _core.decode_latents(data, [(len(out), len(data))], out, models, nonzero, 1)
    return defects[0], out


def laplace(rng, shape, width, density):
    values = np.rint(rng.laplace(0, width, shape)).clip(-LIMIT, LIMIT)
    return np.ascontiguousarray(values * (rng.random((*shape[:2], 1)) < density)).astype(np.int32)


def random_weights(seed):
    """Several weights with three decoders, of all densities and magnitudes."""
    rng = np.random.default_rng(seed)
    lengths = rng.choice([1, 2, 3, 4, 9, 25, 49], 3)
    weights, models = [], []
    for _ in range(rng.integers(1, 6)):
        model = int(rng.integers(0, 3))
        shape = (*map(int, rng.integers(1, 20, 2)), int(lengths[model]))
        density = float(rng.choice([0.0, 0.05, 0.3, 0.9, 1.0]))
        weights.append(laplace(rng, shape, rng.choice([0.3, 1, 5, 200, 9000]), density))
        models.append(model)
    return weights, models


@pytest.mark.parametrize("seed", range(20))
def test_cpp_and_python_agree_both_ways(seed):
    weights, models = random_weights(seed)
    by_python, nonzero = reference.encode_latents(weights, models)
    assert nonzero == counts(weights)
    assert encode(weights, models) == by_python
    defect, decoded = decode(by_python, weights, models)
    assert defect is None
    shapes = [
        reference.WeightShape(*weight.shape, model, count)
        for weight, model, count in zip(weights, models, nonzero, strict=True)
    ]
    for weight, cpp, python in zip(
        weights, decoded, reference.decode_latents(by_python, shapes), strict=True
    ):
        np.testing.assert_array_equal(cpp, weight)
        np.testing.assert_array_equal(python, weight)


@pytest.mark.parametrize("length", [1, 2, 4, 9, 16, 49, 256])
@pytest.mark.parametrize("density", [0.0, 0.001, 0.1, 0.6, 1.0])
def test_round_trip(length, density):
    rng = np.random.default_rng(length)
    weights = [laplace(rng, (37, 53, length), 1.0, density), laplace(rng, (1, 1, length), 3.0, 1.0)]
    defect, decoded = decode(encode(weights, [0, 0]), weights, [0, 0])
    assert defect is None
    for weight, found in zip(weights, decoded, strict=True):
        np.testing.assert_array_equal(found, weight)


def test_largest_magnitudes():
    weight = np.array([[[-LIMIT, LIMIT, 14, 15, 16, -15, 0, 1, -1]]], np.int32)
    defect, decoded = decode(encode([weight], [0]), [weight], [0])
    assert defect is None
    np.testing.assert_array_equal(decoded[0], weight)


def test_zero_weights_take_no_bytes():
    assert encode([np.zeros((64, 64, 9), np.int32)], [0]) == b""


def test_pinned_bytes():
    rng = np.random.RandomState(7)  # Its integers are stable across numpy versions.
    values = rng.randint(-2, 3, (6, 5, 9)) * (rng.randint(0, 4, (6, 5, 1)) == 0)
    ones = rng.randint(-40, 41, (4, 6, 1)) * rng.randint(0, 2, (4, 6, 1))
    weights = [values.astype(np.int32), ones.astype(np.int32)]
    assert encode(weights, [0, 1]).hex() == PINNED


PINNED = "b22fc055071fcdf7b6b426e7d455baa564427d8bccc30c3c0a610d84baddd11e1cbbbbe6"


@pytest.mark.parametrize("value", [LIMIT + 1, -LIMIT - 1, -(2**31), 2**31 - 1])
def test_encoder_refuses_large_magnitudes(value):
    weight = np.full((1, 1, 1), value, np.int32)
    with pytest.raises(ValueError, match="outside the limits"):
        _core.encode_latents([weight], [0], [1])


@pytest.mark.parametrize(
    ("shape", "model", "nonzero", "message"),
    [
        ((2, 2, 9), 256, 0, "shape, model or count"),
        ((2, 2, 257), 0, 0, "shape, model or count"),
        ((0, 2, 9), 0, 0, "shape, model or count"),
        ((2, 2, 9), 0, 5, "shape, model or count"),
        ((2, 2, 9), 0, 1, "wrong count"),
    ],
)
def test_encoder_refuses_wrong_declarations(shape, model, nonzero, message):
    with pytest.raises(ValueError, match=message):
        _core.encode_latents([np.zeros(shape, np.int32)], [model], [nonzero])


def test_one_model_has_one_slice_length():
    with pytest.raises(ValueError, match="shape, model or count"):
        encode([np.ones((2, 2, 9), np.int32), np.ones((2, 2, 4), np.int32)], [0, 0])


def test_decoder_takes_only_arrays_that_it_can_fill():
    def attempt(array):
        _core.decode_latents(b"", [(1, 0)], [array], [0], [0], 1)

    for array in (
        np.zeros((2, 2, 9), np.int64),
        np.zeros((2, 2, 18), np.int32)[:, :, ::2],
        np.broadcast_to(np.int32(0), (2, 2, 9)),
    ):
        with pytest.raises(ValueError, match="expected"):
            attempt(array)


def test_decoder_refuses_streams_beyond_the_bytes():
    out = [np.zeros((2, 2, 9), np.int32)]
    for streams in ([(1, 5)], [(2, 4)], [(1, 2), (0, 3)]):
        with pytest.raises(ValueError, match="beyond"):
            _core.decode_latents(b"abcd", streams, out, [0], [1], 1)


def test_one_meaning_has_one_spelling():
    """Other bytes are refused or mean other integers; of those, most are refused.

    Bytes that some other integers would be coded as are a good stream: to tell them from the right
    ones is the work of the file's checksums.
    """
    weights = [sparse_latents(np.random.default_rng(3), 12, 9, 9, 0.3)]
    data = encode(weights, [0])
    others = [data[:size] for size in range(len(data))]
    others += [data + tail for tail in (b"\0", b"\1", b"\x80", b"\0\0\0\0\0\0\0\0", b"\xff" * 9)]
    for at in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            others.append(bytes(damaged))
    refused = 0
    for other in others:
        defect, decoded = decode(other, weights, [0])
        refused += defect is not None
        assert defect is not None or (decoded[0] != weights[0]).any()
    assert refused > 0.9 * len(others)


def test_wrong_counts_are_refused():
    weights = [sparse_latents(np.random.default_rng(5), 20, 20, 9, 0.3)]
    data = encode(weights, [0])
    right = counts(weights)[0]
    for count in (0, 1, right - 1, right + 1, 400):
        assert decode(data, weights, [0], [count])[0] is not None


@pytest.mark.parametrize("length", [1, 4, 9, 10])
def test_random_bytes_never_harm(length):
    rng = np.random.default_rng(length)
    shape = (17, 23, length)
    for _ in range(300):
        size = int(rng.integers(0, 200))
        data = rng.bytes(size) if rng.random() < 0.8 else bytes([int(rng.choice([0, 255]))]) * size
        out = [np.zeros(shape, np.int32)]
        nonzero = [int(rng.choice([0, 1, 50, 390, 391]))]
        _core.decode_latents(data, [(1, size)], out, [0], nonzero, 1)
        assert np.abs(out[0]).max() <= LIMIT


def test_threads_decode_the_same():
    rng = np.random.default_rng(0)
    weights = [sparse_latents(rng, 32, 32, 9, 0.2) for _ in range(9)]
    streams = [encode([weight], [0]) for weight in weights]
    table = [(1, len(stream)) for stream in streams]
    models, nonzero = [0] * 9, counts(weights)
    for threads in (0, 1, 2, 5, 40):
        out = [np.zeros_like(weight) for weight in weights]
        defects = _core.decode_latents(b"".join(streams), table, out, models, nonzero, threads)
        assert defects == [None] * 9
        for weight, found in zip(weights, out, strict=True):
            np.testing.assert_array_equal(found, weight)


def test_a_damaged_stream_is_named_and_others_decode():
    rng = np.random.default_rng(0)
    weights = [sparse_latents(rng, 16, 16, 9, 0.2) for _ in range(3)]
    streams = [encode([weight], [0]) for weight in weights]
    streams[1] = streams[1][:-3]
    out = [np.zeros_like(weight) for weight in weights]
    table = [(1, len(stream)) for stream in streams]
    found = _core.decode_latents(b"".join(streams), table, out, [0] * 3, counts(weights), 2)
    assert found[0] is None
    assert found[1] is not None
    assert found[2] is None
    np.testing.assert_array_equal(out[2], weights[2])


@pytest.mark.parametrize("density", [0.05, 0.12])
def test_size_against_order0_and_xz(density):
    layers = resnet20_latents(1, density)
    size = len(encode(layers, [0] * len(layers)))
    assert size < 0.88 * order0_bytes(layers)
    assert size < 0.75 * xz_bytes(layers)


def test_unstructured_flags_cost_their_entropy():
    """What the contexts cost where there is nothing to learn: flags of one probability."""
    rng = np.random.default_rng(2)
    weight = (rng.random((256, 256, 1)) < 0.1).astype(np.int32)
    entropy = 65536 * -(0.1 * np.log2(0.1) + 0.9 * np.log2(0.9)) / 8
    assert len(encode([weight], [0])) < 1.03 * entropy
