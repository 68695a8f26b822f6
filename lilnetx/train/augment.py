"""Augmentation of whole batches: random crop after padding, random mirror."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def augment(images: Tensor, padding: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Crop at a random offset of the zero-padded image and mirror half of the images.

    Args:
        images: uint8 or float, shape ``(N, C, H, W)``.
        padding: Pixels on each side; 0 leaves positions alone.
        flip: Whether to mirror.
        generator: Source of randomness.

    Returns:
        Same shape and dtype.
    """
    count, channels, height, width = images.shape
    rows = torch.arange(height).expand(count, height)
    columns = torch.arange(width).expand(count, width)
    if flip:
        mirrored = torch.rand(count, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    if padding:
        offsets = torch.randint(2 * padding + 1, (2, count, 1), generator=generator)
        rows, columns = rows + offsets[0], columns + offsets[1]
        images = functional.pad(images, (padding,) * 4)
    index = (
        torch.arange(count)[:, None, None, None],
        torch.arange(channels)[None, :, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    )
    return images[index]
