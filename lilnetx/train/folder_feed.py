"""Training batches of a folder of images: decoded ahead of the step that needs them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from lilnetx.data import ImageDataset, normalise, spread
from lilnetx.data.folder import FolderImages
from lilnetx.train.config import TrainConfig
from lilnetx.train.feed import Batch, count_steps, epoch_seed
from lilnetx.train.precision import channels_last

# Batches that are made ready while a step runs.
_AHEAD = 2


class FolderBatches:
    """As :class:`.Batches`, but each image's augmentation is drawn from its own seed.

    So several processes decode only what is theirs, and threads may decode in any order.

    Attributes:
        steps: Steps in an epoch.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: ImageDataset,
        images: FolderImages,
        index: NDArray[np.int64],
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self._config, self._data, self._images = config, data, images
        self._index = spread(index, config.train_images or len(index))
        self._rank, self._ranks = rank, ranks
        self.steps = count_steps(len(self._index), config.batch_size, ranks)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch, or a rank's share of them; DataError names a damaged image."""
        config, rank, ranks = self._config, self._rank, self._ranks
        seed = epoch_seed(config.seed, epoch)
        generator = torch.Generator().manual_seed(seed)
        order = self._index[torch.randperm(len(self._index), generator=generator).numpy()]

        def make(step: int) -> Batch:
            whole = order[step * config.batch_size :][: config.batch_size]
            mine = whole[rank::ranks]
            pixels = self._images.random_parts(mine, (seed,), config.crop_area, config.flip)
            inputs = torch.from_numpy(normalise(pixels, self._data.mean, self._data.std))
            labels = torch.from_numpy(self._data.train_labels[mine])
            return Batch(channels_last(inputs), labels, len(mine) * ranks / len(whole))

        with ThreadPoolExecutor(1) as ahead:
            pending: deque[Future[Batch]] = deque()
            for step in range(self.steps):
                pending.append(ahead.submit(make, step))
                if len(pending) > _AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()


__all__ = ["FolderBatches"]
