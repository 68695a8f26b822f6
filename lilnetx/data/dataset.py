"""The one form in which every data set is handed out."""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class DataFacts:
    """What a trained network must know of its data: enough to rebuild it and to feed it.

    Attributes:
        name: Name of the data set.
        classes: Class names, by label.
        image_shape: ``(C, H, W)``.
        mean: Per channel, of images scaled to [0, 1].
        std: Likewise.
    """

    name: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> DataFacts:
        """The inverse of :meth:`as_json`; KeyError or TypeError when it does not fit."""
        c, h, w = row["image_shape"]
        return cls(
            name=str(row["name"]),
            classes=tuple(row["classes"]),
            image_shape=(int(c), int(h), int(w)),
            mean=tuple(row["mean"]),
            std=tuple(row["std"]),
        )


class Images(Protocol):
    """Images that read like an array of uint8, shape ``(N, C, H, W)``: an array, or files."""

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class ImageDataset:
    """A classification data set.

    Attributes:
        name: Its name on the command line.
        classes: Class names, by label.
        train_images: uint8, shape ``(N, C, H, W)``.
        train_labels: int64, shape ``(N,)``.
        test_images: uint8, as ``train_images``. For final figures only: choose on a validation
            split of the training images.
        test_labels: int64.
        mean: Per channel, of images scaled to [0, 1]: the training images' statistics.
        std: Likewise.
    """

    name: str
    classes: tuple[str, ...]
    train_images: Images
    train_labels: NDArray[np.int64]
    test_images: Images
    test_labels: NDArray[np.int64]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def facts(self) -> DataFacts:
        """What a trained network must know of the data."""
        c, h, w = self.train_images.shape[1:]
        return DataFacts(self.name, self.classes, (c, h, w), self.mean, self.std)

    def digest(self) -> int:
        """A checksum by which other training images are told from these: of labels and file names.

        It takes no look at pixels, which may be many files.
        """
        names = "\n".join(getattr(self.train_images, "names", ()))
        return zlib.crc32(names.encode(), zlib.crc32(self.train_labels.tobytes()))


def normalise(
    images: NDArray[np.uint8], mean: tuple[float, ...], std: tuple[float, ...]
) -> NDArray[np.float32]:
    """uint8 images ``(N, C, H, W)`` as float32 network input: ``(x / 255 - mean) / std``."""
    scale = (1.0 / (255.0 * np.asarray(std))).astype(np.float32).reshape(1, -1, 1, 1)
    shift = (-np.asarray(mean) / np.asarray(std)).astype(np.float32).reshape(1, -1, 1, 1)
    scaled: NDArray[np.float32] = images.astype(np.float32) * scale + shift
    return scaled


def validation_split(
    count: int, validation: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of a random split of ``count`` training images: (training, validation)."""
    order = np.random.default_rng([seed, 0x5EED]).permutation(count)
    return np.sort(order[validation:]), np.sort(order[:validation])


def spread(index: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """``count`` of the indices, at even distances; all where there are no more.

    The first ones of a folder of images would be of its first classes alone.

    Args:
        index: Shape ``(N,)``.
        count: At least 1.

    Returns:
        Shape ``(min(count, N),)``, in the same order.
    """
    if count >= len(index):
        return index
    return index[np.arange(count) * len(index) // count]
