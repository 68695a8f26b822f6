"""Data and files that tests of several rooms share; no test needs a download.

That this file is here also lets tests import ``cases`` and ``tolerances`` by name.
"""

from __future__ import annotations

import dataclasses
import gzip
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import lilnetx


def pytest_report_header() -> str:
    return f"lilnetx: {Path(lilnetx.__file__).parent}"


_SUMMARY = pytest.StashKey[list[str]]()


@pytest.fixture
def summary_line(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Adds a line to the summary at the end of the run."""
    return request.config.stash.setdefault(_SUMMARY, []).append


def _has_gpu() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    wanted = [item for item in items if item.get_closest_marker("gpu")]
    if wanted and not _has_gpu():
        skip = pytest.mark.skip(reason="no GPU here; make gpu-check runs these tests")
        for item in wanted:
            item.add_marker(skip)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = terminalreporter.config.stash.get(_SUMMARY, [])
    if lines:
        terminalreporter.section("counts")
        for line in lines:
            terminalreporter.line(line)


@pytest.fixture(scope="session", autouse=True)
def away_from_the_sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Interpreters that tests start would import the source folder if they started in it."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    yield
    os.chdir(before)


@pytest.fixture(scope="session", autouse=True)
def no_measurements_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Sessions neither see nor change what was measured on this machine."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


def write_idx(path: Path, values: np.ndarray) -> None:
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


def separable_images(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images of ten classes, each with a bright patch at its own place; uint8 (N, 28, 28)."""
    labels = np.arange(count) % 10
    images = rng.integers(0, 60, (count, 28, 28))
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 5)
        image[4 + 12 * row : 12 + 12 * row, 1 + 5 * column : 6 + 5 * column] += 180
    return images.astype(np.uint8), labels


@pytest.fixture(scope="session")
def tiny_fashion_mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 300 training and 100 test images in Fashion-MNIST's format."""
    folder = tmp_path_factory.mktemp("fashion-mnist")
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 300), ("t10k", 100)):
        images, labels = separable_images(count, rng)
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels)
    return folder


@pytest.fixture(scope="session")
def synthetic_lnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic ResNet-20 for images of (1, 28, 28), with the facts that evaluation needs."""
    from lilnetx.format import write_lnx
    from lilnetx.packing.synth import synth

    graph = synth("resnet20", density=0.3, seed=3, input_shape=(1, 28, 28))
    meta = {"dataset": "fashion-mnist", "input": {"mean": [0.3], "std": [0.25]}}
    path = tmp_path_factory.mktemp("lnx") / "synthetic.lnx"
    write_lnx(dataclasses.replace(graph, meta={**graph.meta, **meta}), path)
    return path
