"""What a file's metadata say to a device: class names and normalisation, or that there are none."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import lilnetx
from lilnetx.data import normalise
from lilnetx.format import inspect_lnx
from lilnetx.graph.ir import Graph, Node, Relu

PIXELS = {"mean": [0.4, 0.5, 0.6], "std": [0.1, 0.2, 0.3]}


def network(meta, shape=(3, 4, 4)) -> Graph:
    return Graph("x", shape, (Node("y", Relu(), ("x",)),), ("y",), meta=meta)


def test_a_session_knows_what_was_stored(tmp_path):
    meta = {"classes": ["T-shirt", "鞋"], "input": PIXELS, "more": 1}
    lilnetx.write_lnx(network(meta), tmp_path / "net.lnx")
    session = lilnetx.Session(tmp_path / "net.lnx", threads=1)
    (tmp_path / "net.lnx").write_bytes(b"")  # it is not read again
    assert session.meta == meta
    assert session.classes == ("T-shirt", "鞋")
    pixels = session.normalisation
    assert pixels == (tuple(PIXELS["mean"]), tuple(PIXELS["std"]))
    assert (pixels.mean, pixels.std) == pixels
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 4), np.uint8)
    expected = (images / 255 - np.reshape(pixels.mean, (3, 1, 1))) / np.reshape(
        pixels.std, (3, 1, 1)
    )
    found = session.run(normalise(images, *pixels))
    np.testing.assert_allclose(found, np.maximum(expected, 0), rtol=1e-5, atol=1e-5)


def test_a_session_of_a_graph_and_a_summary_know_it_too(tmp_path):
    graph = network({"classes": ("a",), "input": PIXELS})
    session = lilnetx.Session(graph, threads=1)
    lilnetx.write_lnx(graph, tmp_path / "net.lnx")
    summary = inspect_lnx(tmp_path / "net.lnx")
    assert session.classes == summary.classes == ("a",)
    assert session.normalisation == summary.normalisation == tuple(map(tuple, PIXELS.values()))


@pytest.mark.parametrize("classes", [None, 10, "cat", [1, 2], [["cat"]], {"cat": 0}])
def test_classes_that_are_no_list_of_names_are_none(classes):
    assert lilnetx.Session(network({"classes": classes}), threads=1).classes == ()


@pytest.mark.parametrize(
    "stored",
    [
        None,
        0.5,
        "mean",
        {"mean": [0.5] * 3},
        {"mean": "x", "std": [0.2] * 3},
        {"mean": [[0.5]] * 3, "std": [0.2] * 3},
        {"mean": [0.5], "std": [0.2]},
        {"mean": [0.5] * 3, "std": [0.2, 0.2, 0.0]},
        {"mean": [0.5] * 3, "std": [0.2, 0.2, float("inf")]},
        {"mean": [0.5] * 2 + [float("nan")], "std": [0.2] * 3},
    ],
    ids=str,
)
def test_a_normalisation_that_does_not_fit_is_none(stored):
    session = lilnetx.Session(network({"input": stored}), threads=1)
    assert session.normalisation is None


def test_what_is_no_image_has_no_normalisation():
    graph = dataclasses.replace(network({"input": {"mean": [], "std": []}}), input_shape=())
    assert lilnetx.Session(graph, threads=1).normalisation is None
    assert lilnetx.Session(network({}), threads=1).normalisation is None
