"""The parts of a report's pictures: PNG files, blocks of slices, and the layout of the network."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from lilnetx.graph.ir import Conv2d, DenseWeight, Node
from lilnetx.report.layout import layered
from lilnetx.report.png import opacity_png
from lilnetx.report.slice_map import MAX_SIDE, block_shares, slice_map


def decoded(png: bytes) -> np.ndarray:
    """Opacities of a picture of one palette, 0 to 255."""
    chunks, at = {}, 8
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        (crc,) = struct.unpack(">I", png[at + 8 + length : at + 12 + length])
        assert crc == zlib.crc32(kind + data)
        chunks[kind] = data
        at += 12 + length
    width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert colour == 3
    assert len(chunks[b"PLTE"]) == 3 * len(chunks[b"tRNS"])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()
    bits = np.unpackbits(rows[:, 1:], axis=1).reshape(height, -1, depth)[:, :width]
    indices = bits @ (1 << np.arange(depth)[::-1])
    return np.frombuffer(chunks[b"tRNS"], np.uint8)[indices]


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (5, 8), (16, 17), (1, 256)])
@pytest.mark.parametrize("levels", [(0, 15), tuple(range(16))])
def test_pictures_have_the_opacities_given(shape, levels):
    given = np.random.default_rng(0).choice(np.array(levels, np.uint8), shape)
    np.testing.assert_array_equal(decoded(opacity_png(given, (0, 1, 2))), given * 17)


def conv(filters: int, channels: int, nonzero: np.ndarray) -> Node:
    values = np.zeros((filters, channels, 3, 3), np.float32)
    values[..., 1, 1] = nonzero
    return Node("conv", Conv2d(channels, filters, (3, 3)), ("x",), weight=DenseWeight(values))


def test_a_dot_is_a_slice_where_there_is_room():
    nonzero = np.random.default_rng(1).random((7, 20)) < 0.3
    picture = slice_map(conv(7, 20, nonzero))
    assert picture.block == (1, 1)
    assert picture.nonzero == nonzero.sum()
    np.testing.assert_array_equal(decoded(picture.png), 255 * nonzero)


def test_a_dot_is_a_block_where_there_is_none():
    filters, channels = 2 * MAX_SIDE + 3, 5
    nonzero = np.zeros((filters, channels), bool)
    nonzero[0, 0] = nonzero[-1, -1] = True
    nonzero[3:6, 2] = True
    picture = slice_map(conv(filters, channels, nonzero))
    assert picture.block == (3, 1)
    assert (picture.height, picture.width) == (-(-filters // 3), channels)
    alphas = decoded(picture.png)
    assert alphas[1, 2] == 255
    assert 0 < alphas[0, 0] < 255
    assert alphas[-1, -1] > 0
    assert np.count_nonzero(alphas) == 3


def test_shares_of_blocks_at_the_end_are_of_what_is_there():
    nonzero = np.ones((5, 7), bool)
    nonzero[4] = False
    shares = block_shares(nonzero, (2, 3))
    np.testing.assert_array_equal(shares, [[1, 1, 1], [1, 1, 1], [0, 0, 0]])


def test_filters_of_one_slice_stand_side_by_side():
    picture = slice_map(conv(9, 1, np.arange(9)[:, None] % 2 == 0))
    assert picture.one_row
    assert (picture.height, picture.width) == (1, 9)


def overlaps(layout, widths) -> bool:
    rows = {}
    for x, rank, width in zip(layout.x, layout.rank, widths, strict=True):
        rows.setdefault(rank, []).append((x - width / 2, x + width / 2))
    return any(
        left_end > right_start
        for row in rows.values()
        for (_, left_end), (right_start, _) in zip(sorted(row), sorted(row)[1:], strict=False)
    )


def test_a_chain_is_a_straight_line():
    layout = layered([100] * 5, [(i, i + 1) for i in range(4)])
    assert layout.rank == [0, 1, 2, 3, 4]
    assert set(layout.x) == {50}
    assert layout.width == 100


def test_residual_blocks_keep_their_main_road_straight():
    edges = [(0, 1), (1, 2), (2, 3), (0, 3), (3, 4), (4, 5), (5, 6), (3, 6)]
    layout = layered([100] * 7, edges)
    assert max(layout.x) - min(layout.x) < 1
    skip = layout.routes[edges.index((0, 3))]
    assert [rank for _, rank in skip] == [0, 1, 2, 3]
    assert all(abs(x - layout.x[0]) > 50 for x, _ in skip[1:-1])


@pytest.mark.parametrize("seed", range(5))
def test_random_graphs(seed):
    rng = np.random.default_rng(seed)
    widths = rng.uniform(20, 200, 30).tolist()
    edges = sorted({(int(rng.integers(0, j)), j) for j in range(1, 30) for _ in range(3)})
    layout = layered(widths, edges)
    assert not overlaps(layout, widths)
    for (source, target), route in zip(edges, layout.routes, strict=True):
        assert route[0] == (layout.x[source], layout.rank[source])
        assert route[-1] == (layout.x[target], layout.rank[target])
        assert [rank for _, rank in route] == [*range(layout.rank[source], layout.rank[target] + 1)]
    assert min(x for x in layout.x) >= 0
    assert max(x for x in layout.x) <= layout.width
    assert layered(widths, edges) == layout


def test_nothing_is_laid_out_as_nothing():
    assert layered([], []).ranks == 0


def test_what_reads_nothing_stands_before_its_reader():
    layout = layered([10] * 5, [(0, 1), (1, 2), (2, 4), (3, 4)])
    assert layout.rank[3] == 2
