"""The model in the package: its promises, and what damage to its file leads to."""

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from lilnetx.data import load, normalise
from lilnetx.errors import (
    ChecksumError,
    CorruptSectionError,
    DataError,
    LnxFormatError,
    NotAnLnxFileError,
    TrailingBytesError,
    TruncatedFileError,
)
from lilnetx.format import inspect_lnx, read_lnx, verify_lnx
from lilnetx.runtime import Session

NAME = "resnet20-fashion-mnist"
MODELS = Path(str(resources.files("lilnetx.models")))
FILE = MODELS / f"{NAME}.lnx"


def log_rows() -> list[dict]:
    return [json.loads(line) for line in (MODELS / f"{NAME}.log.jsonl").read_text().splitlines()]


def test_the_whole_file_is_small_and_most_3x3_slices_are_zero():
    verify_lnx(FILE)
    summary = inspect_lnx(FILE)
    assert summary.file_bytes == FILE.stat().st_size
    assert summary.file_bytes * 75 <= summary.dense_fp32_bytes
    assert summary.zero_slices_kxk >= 0.9 * summary.slices_kxk
    assert summary.macs_left <= 0.2 * summary.macs
    assert not summary.synthetic


def test_trimming_left_the_integers_that_the_log_counted_but_for_more_zero_slices():
    graph, final = read_lnx(FILE), log_rows()[-1]
    latents = [node.weight.latents for node in graph.nodes if node.weight is not None]
    assert sum(tensor.size for tensor in latents) == final["latents"]
    kxk = [tensor for tensor in latents if tensor.shape[2] > 1]
    zero = sum(int((tensor == 0).all(axis=2).sum()) for tensor in kxk)
    share = zero / sum(tensor[..., 0].size for tensor in kxk)
    assert final["sparsity_kxk"] <= share <= final["sparsity_kxk"] + 0.02


def test_accuracy_is_that_of_the_torch_model():
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    from lilnetx.graph.to_torch import to_torch

    try:
        data = load("fashion-mnist")
    except DataError as error:
        pytest.skip(f"Fashion-MNIST is not here: {error}")
    session = Session(FILE, threads=2)
    model = to_torch(read_lnx(FILE)).eval()
    assert session.classes == data.classes
    assert session.normalisation is not None
    correct = by_torch = 0
    for first in range(0, len(data.test_images), 500):
        images = data.test_images[first : first + 500]
        labels = data.test_labels[first : first + 500]
        batch = normalise(images, *session.normalisation)
        correct += int((session.run(batch).argmax(1) == labels).sum())
        with torch.no_grad():
            found = model(torch.from_numpy(batch)).numpy().argmax(1)
        by_torch += int((found == labels).sum())
    assert correct >= 9390
    assert abs(correct - by_torch) <= 2


def test_every_truncation_is_refused(tmp_path):
    raw, path = FILE.read_bytes(), tmp_path / "cut.lnx"
    for length in range(len(raw)):
        path.write_bytes(raw[:length])
        with pytest.raises(TruncatedFileError):
            read_lnx(path)


def test_longer_files_are_refused(tmp_path):
    path = tmp_path / "long.lnx"
    path.write_bytes(FILE.read_bytes() + b"\0")
    with pytest.raises(TrailingBytesError):
        read_lnx(path)


def test_a_change_of_any_byte_is_refused(tmp_path):
    raw, path = FILE.read_bytes(), tmp_path / "changed.lnx"
    rng = np.random.default_rng(0)
    for offset in range(len(raw)):
        changed = bytearray(raw)
        changed[offset] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        with pytest.raises(LnxFormatError) as caught:
            read_lnx(path)
        if offset < 8:
            assert type(caught.value) is NotAnLnxFileError
        else:
            # Zero padding between sections is outside every checksum and is checked by itself.
            assert type(caught.value) in (ChecksumError, CorruptSectionError), offset
        assert str(path) in str(caught.value)
