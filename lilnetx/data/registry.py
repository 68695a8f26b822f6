"""Data sets by name, and where their files are looked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lilnetx.data.cifar import read_cifar
from lilnetx.data.dataset import ImageDataset
from lilnetx.data.folder import IMAGE_SIZE, read_folder
from lilnetx.data.idx import read_idx
from lilnetx.errors import DataError, UsageError

_FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
# name -> (folder names to look for, a file that must be there, how to get it)
_SOURCES = {
    "fashion-mnist": (
        ("fashion-mnist", "FashionMNIST/raw"),
        "train-images-idx3-ubyte",
        "on Debian: apt-get install dataset-fashion-mnist; else put the four *-ubyte.gz files of "
        "zalandoresearch/fashion-mnist",
    ),
    "cifar-10": (
        ("cifar-10", "cifar-10-batches-bin"),
        "data_batch_1.bin",
        "unpack the binary version of CIFAR-10 (cifar-10-binary.tar.gz)",
    ),
    "cifar-100": (
        ("cifar-100", "cifar-100-binary"),
        "train.bin",
        "unpack the binary version of CIFAR-100 (cifar-100-binary.tar.gz)",
    ),
}


def load(name: str, root: str | Path | None = None, image_size: int = IMAGE_SIZE) -> ImageDataset:
    """Load a data set.

    Args:
        name: ``fashion-mnist``, ``cifar-10``, ``cifar-100``, or ``folder`` for image files in
            ``root/train/CLASS`` and ``root/val/CLASS``.
        root: The folder with its files, or the folder above it. By default the folder named by the
            environment variable ``LILNETX_DATA``, ``~/.cache/lilnetx``, and
            ``/usr/share/datasets`` are searched; a
            folder of images has no default but ``LILNETX_DATA``.
        image_size: Height and width of the images of a folder; other data sets have their own.

    Raises:
        UsageError: No such data set.
        DataError: Files are missing or damaged.
    """
    if name not in DATASETS:
        raise UsageError(f"unknown data set {name!r}; known: {', '.join(DATASETS)}")
    if name == "folder":
        where = root or os.environ.get("LILNETX_DATA")
        if not where:
            raise UsageError("folder: name the folder that holds train and val by --data-root")
        return read_folder(Path(where), image_size)
    return DATASETS[name](_find(name, root))


def _find(name: str, root: str | Path | None) -> Path:
    folders, needed, remedy = _SOURCES[name]
    if root is not None:
        roots = [Path(root)]
    else:
        roots = [Path.home() / ".cache" / "lilnetx", Path("/usr/share/datasets")]
        if os.environ.get("LILNETX_DATA"):
            roots.insert(0, Path(os.environ["LILNETX_DATA"]))
    candidates = [base / folder for base in roots for folder in ("", *folders)]
    for folder in candidates:
        if (folder / needed).is_file() or (folder / f"{needed}.gz").is_file():
            return folder
    searched = ", ".join(str(base) for base in roots)
    raise DataError(
        f"{name}: {needed} not found under {searched}. To get it, {remedy} into a folder and name "
        "that folder by --data-root or LILNETX_DATA"
    )


def _fashion_mnist(folder: Path) -> ImageDataset:
    def read(stem: str) -> NDArray[np.uint8]:
        packed = folder / f"{stem}.gz"
        return read_idx(packed if packed.is_file() else folder / stem)

    def split(prefix: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        images, labels = read(f"{prefix}-images-idx3-ubyte"), read(f"{prefix}-labels-idx1-ubyte")
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise DataError(
                f"{folder}: {prefix} has images of shape {images.shape} and labels of shape "
                f"{labels.shape}; fetch them again"
            )
        return images[:, None], labels.astype(np.int64)

    return _assemble("fashion-mnist", _FASHION_CLASSES, split("train"), split("t10k"))


def _cifar10(folder: Path) -> ImageDataset:
    train = read_cifar([folder / f"data_batch_{i}.bin" for i in range(1, 6)], 1, 10)
    return _assemble(
        "cifar-10", _CIFAR10_CLASSES, train, read_cifar([folder / "test_batch.bin"], 1, 10)
    )


def _cifar100(folder: Path) -> ImageDataset:
    names_file = folder / "fine_label_names.txt"
    names = names_file.read_text().split() if names_file.is_file() else map(str, range(100))
    train = read_cifar([folder / "train.bin"], 2, 100)
    return _assemble("cifar-100", tuple(names), train, read_cifar([folder / "test.bin"], 2, 100))


def _assemble(
    name: str,
    classes: tuple[str, ...],
    train: tuple[NDArray[np.uint8], NDArray[np.int64]],
    test: tuple[NDArray[np.uint8], NDArray[np.int64]],
) -> ImageDataset:
    images = train[0]
    # Sums of uint8 and their squares are exact in float64, one channel at a time to bound memory.
    channels = [images[:, c].astype(np.float64) / 255.0 for c in range(images.shape[1])]
    return ImageDataset(
        name=name,
        classes=classes,
        train_images=images,
        train_labels=train[1],
        test_images=test[0],
        test_labels=test[1],
        mean=tuple(round(float(c.mean()), 4) for c in channels),
        std=tuple(max(round(float(c.std()), 4), 1e-4) for c in channels),
    )


DATASETS: dict[str, Callable[[Path], ImageDataset]] = {
    "fashion-mnist": _fashion_mnist,
    "cifar-10": _cifar10,
    "cifar-100": _cifar100,
    "folder": read_folder,
}
