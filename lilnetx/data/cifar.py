"""CIFAR-10 and CIFAR-100 in their binary version.

A record is one label byte (CIFAR-100: coarse label, then fine label) and 3072 bytes of image: red,
green and blue planes of 32 x 32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lilnetx.errors import DataError

_IMAGE_SHAPE = (3, 32, 32)
_IMAGE_BYTES = 3072


def read_cifar(
    paths: list[Path], label_bytes: int, classes: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read and join binary batches.

    Args:
        paths: The batch files.
        label_bytes: 1 for CIFAR-10, 2 for CIFAR-100; the last of them is the class.
        classes: Number of classes, to check labels against.

    Returns:
        Images, uint8 ``(N, 3, 32, 32)``, and labels, int64 ``(N,)``.

    Raises:
        DataError: A file is missing or damaged.
    """
    images, labels = [], []
    for path in paths:
        try:
            raw = np.fromfile(path, np.uint8)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        record = label_bytes + _IMAGE_BYTES
        if raw.size == 0 or raw.size % record:
            raise DataError(
                f"{path}: {raw.size} bytes is not a whole number of {record}-byte records; "
                "fetch it again"
            )
        rows = raw.reshape(-1, record)
        label = rows[:, label_bytes - 1].astype(np.int64)
        if label.max() >= classes:
            raise DataError(f"{path}: label {label.max()} found, but there are {classes} classes")
        labels.append(label)
        images.append(rows[:, label_bytes:].reshape(-1, *_IMAGE_SHAPE))
    return np.concatenate(images), np.concatenate(labels)
