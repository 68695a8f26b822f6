import gzip
import struct

import numpy as np
import pytest

from lilnetx.data import load, normalise, spread, validation_split
from lilnetx.data.cifar import read_cifar
from lilnetx.data.idx import read_idx
from lilnetx.errors import DataError, UsageError


def idx_bytes(array: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.mark.parametrize("shape", [(5,), (3, 4, 2), (0, 28, 28)])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_are_read(tmp_path, shape, packed):
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    raw = idx_bytes(array)
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(raw) if packed else raw)
    np.testing.assert_array_equal(read_idx(path), array)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:-1], "its header declares"),
        (lambda raw: raw + b"\0", "its header declares"),
        (lambda raw: raw[:6], "ends inside its header"),
        (lambda raw: b"", "not an IDX file"),
        (lambda raw: b"\0\0\x0d" + raw[3:], "not an IDX file of unsigned bytes"),
        (lambda raw: gzip.compress(raw)[:-4], "cannot be read"),
        (lambda raw: gzip.compress(raw)[:12] + b"\xff" * 20, "cannot be read"),
    ],
)
def test_damaged_idx_files_are_refused(tmp_path, damage, message):
    path = tmp_path / "images"
    path.write_bytes(damage(idx_bytes(np.ones((3, 4, 4), np.uint8))))
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def write_cifar10(folder, per_batch=4):
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True)
    records = rng.integers(0, 256, (6 * per_batch, 3073), np.uint8)
    records[:, 0] %= 10
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    for i, name in enumerate(names):
        records[i * per_batch : (i + 1) * per_batch].tofile(folder / name)
    return records


def test_cifar10_is_read(tmp_path):
    records = write_cifar10(tmp_path / "cifar-10-batches-bin")
    data = load("cifar-10", tmp_path)
    assert data.train_images.shape == (20, 3, 32, 32)
    np.testing.assert_array_equal(data.train_labels, records[:20, 0])
    # Red, green, blue planes, each in rows.
    assert data.train_images[3, 1, 2, 5] == records[3, 1 + 1024 + 2 * 32 + 5]
    np.testing.assert_array_equal(data.test_labels, records[20:, 0])
    np.testing.assert_allclose(
        data.mean, data.train_images.mean((0, 2, 3)) / 255, rtol=0, atol=1e-4
    )


def test_cifar100_takes_the_fine_label(tmp_path):
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    records = np.random.default_rng(2).integers(0, 256, (8, 3074), np.uint8)
    records[:, 0] %= 20
    records[:, 1] %= 100
    records[:5].tofile(folder / "train.bin")
    records[5:].tofile(folder / "test.bin")
    data = load("cifar-100", folder)
    np.testing.assert_array_equal(data.train_labels, records[:5, 1])
    assert len(data.classes) == 100
    assert data.test_images[0, 2, 31, 31] == records[5, -1]


def test_damaged_cifar_files_are_refused(tmp_path):
    path = tmp_path / "batch.bin"
    path.write_bytes(bytes(3072))
    with pytest.raises(DataError, match="not a whole number of 3073-byte records"):
        read_cifar([path], 1, 10)
    path.write_bytes(b"\x0a" + bytes(3072))
    with pytest.raises(DataError, match="label 10 found, but there are 10 classes"):
        read_cifar([path], 1, 10)
    with pytest.raises(DataError, match="cannot be read"):
        read_cifar([tmp_path / "missing.bin"], 1, 10)


def test_fashion_mnist_of_unequal_lengths_is_refused(tmp_path):
    for prefix in ("train", "t10k"):
        images, labels = np.zeros((3, 28, 28)), np.zeros(2)
        (tmp_path / f"{prefix}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    with pytest.raises(DataError, match="fetch them again"):
        load("fashion-mnist", tmp_path)


def test_missing_data_says_where_it_looked_and_what_to_do(tmp_path):
    with pytest.raises(DataError, match="--data-root") as caught:
        load("cifar-10", tmp_path)
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(UsageError, match="known: fashion-mnist, cifar-10, cifar-100"):
        load("mnist")


@pytest.mark.parametrize("count", [1, 3, 7, 99, 100, 500])
def test_spread_takes_indices_from_all_over(count):
    index = np.arange(1000, 1200, 2)
    taken = spread(index, count)
    assert len(taken) == min(count, 100)
    assert set(taken) <= set(index)
    gaps = np.diff([*taken, 1200])
    assert (gaps > 0).all()
    assert gaps.max() - gaps.min() <= 2
    assert taken[0] == 1000


def test_validation_split_is_a_seeded_partition():
    train, validation = validation_split(100, 17, seed=3)
    assert len(validation) == 17
    assert sorted([*train, *validation]) == list(range(100))
    again = validation_split(100, 17, seed=3)
    np.testing.assert_array_equal(validation, again[1])
    assert not np.array_equal(validation, validation_split(100, 17, seed=4)[1])


def test_normalise():
    images = np.array([[[[0, 255]], [[51, 102]]]], np.uint8)
    out = normalise(images, (0.5, 0.2), (0.5, 0.1))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, [[[[-1, 1]], [[0, 2]]]], rtol=0, atol=1e-5)
