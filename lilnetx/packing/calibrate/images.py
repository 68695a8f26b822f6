"""Calibration images from a folder, as the network takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lilnetx.errors import CalibrationError, MissingExtraError
from lilnetx.graph.ir import Shape

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


@dataclass(frozen=True)
class Preprocessing:
    """From the pixels of a picture to what a network takes: ``(pixel * scale - mean) / std``.

    Attributes:
        mean: Of each channel, or one for all.
        std: Likewise.
        scale: Factor of the pixels, 0 to 255, before the mean is taken away.
        resize: Pixels that the shorter side gets before the centre is cut out; None for as many as
            the network's input has, at least, on both sides.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float = 1 / 255
    resize: int | None = None


def load_folder(
    folder: Path, shape: Shape, preprocessing: Preprocessing | None, limit: int, seed: int = 0
) -> NDArray[np.float32]:
    """All images below a folder, in random order.

    ``.npy`` files hold one image of the network's input shape, or several, ``(N, *shape)``, and are
    taken as they are. Pictures (PNG, JPEG, BMP, WebP) are resized, cut and normalised.

    Args:
        folder: Looked through with all folders in it.
        shape: The network's input without the batch.
        preprocessing: For pictures; None where there are none.
        limit: At most so many images, drawn at random.
        seed: Of the order.

    Returns:
        float32, ``(N, *shape)``.

    Raises:
        CalibrationError: No folder, no images, one that cannot be read or does not fit.
        MissingExtraError: There are pictures, and Pillow is not installed.
    """
    if not folder.is_dir():
        raise CalibrationError(f"{folder}: no such folder of calibration images")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (*PICTURES, ".npy"))
    if not files:
        raise CalibrationError(
            f"{folder}: holds no images (.npy, {', '.join(PICTURES)}); put in some like those that "
            "the network will see, without labels"
        )
    # Which image of which file: only those that are drawn are read.
    places = [(file, index) for file in files for index in range(_count(file, shape))]
    order = np.random.default_rng(seed).permutation(len(places))[:limit]
    images = np.empty((len(order), *shape), np.float32)
    for image, place in zip(images, order, strict=True):
        file, index = places[place]
        if file.suffix.lower() == ".npy":
            array = _open_array(file)
            image[:] = array[index] if array.ndim == len(shape) + 1 else array
            if not np.isfinite(image).all():
                raise CalibrationError(f"{file}: holds values that are not finite")
        else:
            image[:] = _read_picture(file, shape, preprocessing)
    return images


def _open_array(file: Path) -> NDArray[np.float32]:
    try:
        array: NDArray[np.float32] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise CalibrationError(f"{file}: cannot be read as an array: {error}") from error
    return array


def _count(file: Path, shape: Shape) -> int:
    """Images in a file."""
    if file.suffix.lower() != ".npy":
        return 1
    array = _open_array(file)
    single, several = array.shape == tuple(shape), array.shape[1:] == tuple(shape)
    if array.dtype != np.float32 or not (single or several):
        raise CalibrationError(
            f"{file}: holds {array.dtype} of shape {array.shape}, expected float32 of shape "
            f"{tuple(shape)} or (N, {', '.join(map(str, shape))}), preprocessed as the network "
            "takes it"
        )
    return 1 if single else len(array)


def _read_picture(
    file: Path, shape: Shape, preprocessing: Preprocessing | None
) -> NDArray[np.float32]:
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("Pillow", "images", "reading pictures") from None
    if preprocessing is None:
        raise CalibrationError(
            f"{file}: say how pictures are normalised: --mean and --std of pixels scaled to 1, "
            "such as --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"
        )
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise CalibrationError(
            f"{file}: a picture does not fit the network's input of shape {tuple(shape)}; give "
            ".npy files of that shape"
        )
    channels, height, width = shape
    try:
        with Image.open(file) as opened:
            picture = opened.convert("RGB" if channels == 3 else "L")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise CalibrationError(f"{file}: cannot be read as a picture: {error}") from error
    factor = max(height / picture.height, width / picture.width)
    if preprocessing.resize is not None:
        factor = max(factor, preprocessing.resize / min(picture.size))
    size = (max(width, round(picture.width * factor)), max(height, round(picture.height * factor)))
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    resized = picture.resize(size, Image.Resampling.BICUBIC)
    pixels = np.asarray(resized.crop((left, top, left + width, top + height)), np.float32)
    planes = pixels.reshape(height, width, channels).transpose(2, 0, 1)
    mean, std = (_by_channel(v, channels) for v in (preprocessing.mean, preprocessing.std))
    normalised: NDArray[np.float32] = (planes * np.float32(preprocessing.scale) - mean) / std
    return normalised


def _by_channel(values: Sequence[float], channels: int) -> NDArray[np.float32]:
    if len(values) not in (1, channels):
        raise CalibrationError(
            f"{len(values)} values for {channels} channels: give --mean and --std one value, or "
            "one for each channel"
        )
    return np.asarray(values, np.float32).reshape(-1, 1, 1)


__all__ = ["PICTURES", "Preprocessing", "load_folder"]
