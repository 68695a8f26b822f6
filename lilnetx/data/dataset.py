"""The one form in which every data set is handed out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``."""
        c, h, w = self.train_images.shape[1:]
        return (c, h, w)


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
