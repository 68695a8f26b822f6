"""Folders of image files, as ImageNet comes: ``train`` and ``val``, and in each one a class.

Images stay in their files until they are asked for. Evaluation takes the middle of an image,
training a random part of it (Szegedy et al. 2015), by torchvision's rules, so that weights trained
by its recipes meet what they know.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lilnetx.data.dataset import ImageDataset
from lilnetx.errors import DataError, MissingExtraError
from lilnetx.progress import progress

IMAGE_SIZE = 224
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".tif", ".tiff", ".gif")
# Of ImageNet's training images, by which torchvision's weights are normalised.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Share of the shorter side that evaluation sees: 224 pixels of 256.
_MIDDLE = 224 / 256
_RATIO = (3 / 4, 4 / 3)
_TRIES = 10

Box = tuple[float, float, float, float]


class FolderImages:
    """Image files that read like an array of uint8, shape ``(N, 3, size, size)``.

    Attributes:
        paths: The files.
        shape: As of an array.
    """

    def __init__(self, paths: Sequence[str], size: int) -> None:
        self.paths = list(paths)
        self.shape = (len(self.paths), 3, size, size)
        self._size = size
        # Pillow decodes beside other threads.
        self._pool = ThreadPoolExecutor(_processors())

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def names(self) -> list[str]:
        """The paths without the folder that all are in, which may be moved."""
        shared = len(os.path.commonpath(self.paths))
        return [path[shared:] for path in self.paths]

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        """The middles of the images of a slice or of an array of indices.

        Raises:
            DataError: An image cannot be read; names it.
        """
        return self._read(np.arange(len(self))[index], lambda place: _middle)

    def random_parts(
        self, index: NDArray[np.int64], seed: Sequence[int], least_area: float, flip: bool
    ) -> NDArray[np.uint8]:
        """Random parts of images, some mirrored; what is drawn hangs on seed and index alone.

        Args:
            index: Which images, shape ``(n,)``.
            seed: Integers of at least 0, such as a run's seed and an epoch.
            least_area: Smallest share of an image's area that is taken.
            flip: Whether half of the images are mirrored.

        Returns:
            uint8, shape ``(n, 3, size, size)``.

        Raises:
            DataError: An image cannot be read; names it.
        """

        def chooser(place: int) -> Callable[[int, int], tuple[Box, bool]]:
            rng = np.random.default_rng([*seed, place])
            return lambda width, height: (
                _random_box(rng, width, height, least_area),
                bool(flip and rng.random() < 0.5),
            )

        return self._read(index, chooser)

    def _read(
        self,
        index: NDArray[np.int64],
        chooser: Callable[[int], Callable[[int, int], tuple[Box, bool]]],
    ) -> NDArray[np.uint8]:
        out = np.empty((len(index), *self.shape[1:]), np.uint8)

        def read(row: int) -> None:
            place = int(index[row])
            out[row] = _decode(self.paths[place], self._size, chooser(place))

        list(self._pool.map(read, range(len(index))))
        return out


def read_folder(root: Path, image_size: int = IMAGE_SIZE) -> ImageDataset:
    """The images under ``root/train`` and, as test images, ``root/val``.

    Classes are the names of the folders in ``train``, in the order of the alphabet; files may lie
    in further folders below. Normalisation is that of ImageNet.

    Args:
        root: The folder.
        image_size: Height and width of the images handed out.

    Raises:
        DataError: A folder is missing or holds no images.
        MissingExtraError: Pillow is not installed.
    """
    _import_pillow()
    classes = _folders(root / "train")
    if len(classes) < 2:
        raise DataError(
            f"{root / 'train'}: has {len(classes)} folders, but needs one for each of two or more "
            "classes, with images in it"
        )
    known = _folders(root / "val")
    if strange := sorted(set(known) - set(classes)):
        raise DataError(f"{root / 'val'}: has classes that train has not: {', '.join(strange[:5])}")
    train, train_labels = _scan(root / "train", classes, classes)
    test, test_labels = _scan(root / "val", known, classes)
    return ImageDataset(
        name="folder",
        classes=tuple(classes),
        train_images=FolderImages(train, image_size),
        train_labels=train_labels,
        test_images=FolderImages(test, image_size),
        test_labels=test_labels,
        mean=_MEAN,
        std=_STD,
    )


def _folders(path: Path) -> list[str]:
    try:
        return sorted(e.name for e in os.scandir(path) if e.is_dir() and e.name[0] != ".")
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); expected folders train and val, and in "
            "each a folder for each class"
        ) from error


def _scan(
    path: Path, folders: list[str], classes: list[str]
) -> tuple[list[str], NDArray[np.int64]]:
    """Files and labels, in an order that does not hang on the file system."""
    label_of = {name: label for label, name in enumerate(classes)}
    files: list[str] = []
    labels: list[int] = []
    for name in progress(folders, len(folders), f"scan {path.name}", "class"):
        found = [
            os.path.join(folder, file)
            for folder, _, names in os.walk(path / name, followlinks=True)
            for file in names
            if file.lower().endswith(_SUFFIXES) and file[0] != "."
        ]
        if not found:
            raise DataError(f"{path / name}: holds no images ({', '.join(_SUFFIXES)})")
        files += sorted(found)
        labels += [label_of[name]] * len(found)
    if not files:
        raise DataError(f"{path}: holds no images; expected a folder for each class")
    return files, np.array(labels, np.int64)


def _decode(path: str, size: int, choose: Callable[[int, int], tuple[Box, bool]]) -> Any:
    """Part of an image as uint8, shape ``(3, size, size)``."""
    image_module = _import_pillow()
    try:
        with image_module.open(path) as image:
            rgb = image.convert("RGB")
        box, mirrored = choose(rgb.width, rgb.height)
        part = rgb.resize((size, size), image_module.Resampling.BILINEAR, box=box)
    # Pillow has no class of its own for damaged files.
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        image_module.DecompressionBombError,
    ) as error:
        raise DataError(
            f"{path}: cannot be decoded ({error}); replace or remove this image"
        ) from error
    pixels = np.asarray(part).transpose(2, 0, 1)
    return pixels[:, :, ::-1] if mirrored else pixels


def _middle(width: int, height: int) -> tuple[Box, bool]:
    side = min(width, height) * _MIDDLE
    left, top = (width - side) / 2, (height - side) / 2
    return (left, top, left + side, top + side), False


def _random_box(rng: np.random.Generator, width: int, height: int, least_area: float) -> Box:
    """Area and ratio at random, where they fit; else the largest middle part of a fitting ratio."""
    for _ in range(_TRIES):
        area = width * height * rng.uniform(least_area, 1.0)
        ratio = math.exp(rng.uniform(math.log(_RATIO[0]), math.log(_RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            return left, top, left + w, top + h
    w = min(width, max(1, round(height * _RATIO[1])))
    h = min(height, max(1, round(width / _RATIO[0])))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def _processors() -> int:
    """Those that this process may use, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _import_pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("Pillow", "images", "reading a folder of images") from error
    return Image


__all__ = ["IMAGE_SIZE", "FolderImages", "read_folder"]
