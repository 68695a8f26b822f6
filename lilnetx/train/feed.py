"""Training batches: an epoch's order and augmentation, drawn from the epoch's own seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lilnetx.data import ImageDataset, spread
from lilnetx.errors import UsageError
from lilnetx.train.augment import augment
from lilnetx.train.config import TrainConfig
from lilnetx.train.precision import channels_last


class Batch(NamedTuple):
    """One step's images, normalised and channels last, and labels.

    ``weight`` makes the mean over processes of their mean losses that of the whole batch, where it
    cannot be divided evenly.
    """

    images: Tensor
    labels: Tensor
    weight: float


class Batches:
    """Batches of one run's training images, or a rank's share of each.

    Args:
        config: The run.
        data: Its data.
        index: Of the images that may be trained with.
        rank: Of this process.
        ranks: Number of processes.

    Attributes:
        steps: Steps in an epoch.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: ImageDataset,
        index: NDArray[np.int64],
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        index = spread(index, config.train_images or len(index))
        self._config, self._rank, self._ranks = config, rank, ranks
        self._images = torch.from_numpy(data.train_images[index])
        self._labels = torch.from_numpy(data.train_labels[index])
        self._mean = torch.tensor(data.mean).view(1, -1, 1, 1)
        self._std = torch.tensor(data.std).view(1, -1, 1, 1)
        self.steps = count_steps(len(index), config.batch_size, ranks)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch.

        A resumed epoch draws what an uninterrupted run would. With several ranks, each draws the
        whole batch, so that all agree, and gets its own share of it.
        """
        config, ranks = self._config, self._ranks
        generator = torch.Generator().manual_seed(epoch_seed(config.seed, epoch))
        order = torch.randperm(len(self._images), generator=generator)
        for step in range(self.steps):
            index = order[step * config.batch_size :][: config.batch_size]
            images = augment(self._images[index], config.crop_padding, config.flip, generator)
            share = slice(self._rank, None, ranks)
            inputs = (images[share].float() / 255.0 - self._mean) / self._std
            labels = self._labels[index][share]
            yield Batch(channels_last(inputs), labels, len(labels) * ranks / len(index))


def count_steps(images: int, batch_size: int, ranks: int) -> int:
    """Batches in an epoch; a last one that has no image for some rank is left out.

    Raises:
        UsageError: No batch is left.
    """
    whole, rest = divmod(images, batch_size)
    steps = whole + (rest >= ranks)
    if steps == 0:
        raise UsageError(f"{images} training images cannot be shared by {ranks} processes")
    return steps


def epoch_seed(seed: int, epoch: int) -> int:
    """Seed of one epoch of one run."""
    return seed * 100_003 + epoch + 1
