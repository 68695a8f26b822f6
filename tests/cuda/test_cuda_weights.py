"""Weights on their way to the device: decoded there exactly, and planned in blocks of filters."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CASES, conv_graph, random_decoder, random_latents
from emulated import Jobs

from lilnetx import _core
from lilnetx.runtime.packed import pack_weight, unpack_slices


def decode(latents, matrix, exponent, scale):
    """Nonzero slices by the emulated kernel and by the C++ decoder, as bits."""
    filters, slices, length = latents.shape
    shape = (filters, slices, length, 1, 1, slices)
    packed = _core.pack_latents(shape, latents, matrix, exponent)
    filter_ptr, _, expected = packed.unpack(scale)
    kept, matrix, exponent = packed.integers()
    np.testing.assert_array_equal(kept, latents[(latents != 0).any(axis=2)])
    jobs = Jobs()
    jobs.add(
        "decode",
        length,
        exponent,
        filter_ptr,
        kept.ravel(),
        matrix.ravel(),
        np.zeros(0, np.float32) if scale is None else scale,
    )
    (result,) = jobs.run()
    return result.values(np.uint32), expected.ravel().view(np.uint32)


@pytest.mark.parametrize("length", [1, 4, 9, 25, 49])
@pytest.mark.parametrize("scaled", [False, True])
def test_decoded_weights_are_equal_bit_for_bit(length: int, scaled: bool) -> None:
    rng = np.random.default_rng(length)
    latents = random_latents(7, 13, length, 0.4, rng)
    decoder = random_decoder(length, rng)
    scale = rng.normal(0, 0.1, 7).astype(np.float32) if scaled else None
    actual, expected = decode(latents, decoder.matrix, decoder.exponent, scale)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("exponent", [-126, 0, 100, 126])
def test_extreme_integers_decode_exactly(exponent: int) -> None:
    """Sums beyond 24 bits are rounded once; exponents reach what float32 can barely hold."""
    rng = np.random.default_rng(exponent + 200)
    latents = rng.integers(-32767, 32768, (5, 11, 9)).astype(np.int32)
    matrix = rng.integers(-32768, 32768, (9, 9)).astype(np.int32)
    actual, expected = decode(latents, matrix, exponent, None)
    np.testing.assert_array_equal(actual, expected)


def test_weights_that_are_floats_have_no_integers() -> None:
    packed = _core.pack_dense((2, 3, 9, 1, 1, 3), np.ones((2, 3, 9), np.float32))
    assert packed.integers() is None


def blocks_of(case):
    graph = conv_graph(case)
    node = graph.node("conv")
    packed = unpack_slices(pack_weight(graph, node), None)
    plan = _core.filter_blocks(packed.shape.as_tuple(), packed.filter_ptr, packed.channel)
    return packed, plan


@pytest.mark.parametrize("case", CASES[::9], ids=str)
def test_blocks_hold_each_filter_and_the_union_of_its_channels(case) -> None:
    packed, (order, position, block_ptr, channel, slot) = blocks_of(case)
    none = 2**32 - 1
    assert sorted(order[order != none]) == list(range(case.filters))
    assert (order[position] == np.arange(case.filters)).all()
    assert len(order) == 32 * (len(block_ptr) - 1)
    group_filters = case.filters // case.groups
    group_channels = case.channels // case.groups
    g = packed.shape.channels_per_slice
    for block in range(len(block_ptr) - 1):
        union = channel[block_ptr[block] : block_ptr[block + 1]]
        assert len(union) % 16 == 0
        wanted = set()
        for f in order[32 * block : 32 * (block + 1)]:
            if f == none:
                continue
            end = (int(f) // group_filters + 1) * group_channels
            for k in range(packed.filter_ptr[f], packed.filter_ptr[f + 1]):
                first = int(packed.channel[k])
                reads = list(range(first, min(first + g, end)))
                wanted.update(reads)
                assert union[slot[k] : slot[k] + len(reads)].tolist() == reads
        assert union[union >= 0].tolist() == sorted(wanted)


def test_filters_with_the_same_channels_share_a_block() -> None:
    """Two kinds of filters, mixed: each kind gets blocks of its own."""
    rng = np.random.default_rng(0)
    kinds = rng.permutation(np.arange(64) % 2)
    latents = np.zeros((64, 32, 9), np.int32)
    for f, kind in enumerate(kinds):
        latents[f, 16 * kind : 16 * kind + 16] = 1
    packed = _core.pack_latents((64, 32, 9, 1, 1, 32), latents, np.eye(9, dtype=np.int32), 0)
    filter_ptr, channel, _ = packed.unpack(None)
    order, _, block_ptr, _, _ = _core.filter_blocks(packed.shape, filter_ptr, channel)
    assert [len(set(kinds[order[b * 32 : b * 32 + 32]])) for b in range(2)] == [1, 1]
    assert np.diff(block_ptr).tolist() == [16, 16]


def test_longest_filters_come_first() -> None:
    order = _core.longest_first(np.array([0, 2, 2, 7, 9], np.uint32))
    assert order.tolist() == [2, 0, 3, 1]


@pytest.mark.parametrize(
    ("filter_ptr", "channel", "message"),
    [
        ([0, 1], [0], "filter_ptr must have the shape"),
        ([0, 2, 3], [0], "end with slices"),
        ([0, 2, 1], [0], "ascend"),
        ([0, 0, 1], [4], "out of range"),
    ],
)
def test_wrong_slices(filter_ptr, channel, message) -> None:
    with pytest.raises(ValueError, match=message):
        _core.filter_blocks(
            (2, 4, 9, 1, 1, 4), np.array(filter_ptr, np.uint32), np.array(channel, np.uint32)
        )
