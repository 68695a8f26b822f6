"""The accuracy of a network in training, on images that it is not trained with."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lilnetx.data import ImageDataset, Images, normalise
from lilnetx.train.display import Display
from lilnetx.train.precision import channels_last

# Images of a batch: of 32 pixels, and of 224.
_BATCH, _LARGE_BATCH = 500, 50


class Evaluation:
    """Top-1 accuracy on a data set's validation and test images.

    Args:
        model: The network; it is in eval mode afterwards.
        data: The images.
        held_out: Indices of the training images that are for validation.
        display: For the bars.
    """

    def __init__(
        self, model: nn.Module, data: ImageDataset, held_out: NDArray[np.int64], display: Display
    ) -> None:
        self._model, self._data = model, data
        self._held_out, self._display = held_out, display

    def validation(self) -> float:
        """Share of the validation images whose class is found."""
        data = self._data
        return self._top1("validation", data.train_images, data.train_labels, self._held_out)

    def test(self) -> float:
        """Share of the test images, for the final figure: nothing may be chosen by it."""
        data = self._data
        every = np.arange(len(data.test_labels))
        return self._top1("test", data.test_images, data.test_labels, every)

    @torch.no_grad()
    def _top1(
        self, title: str, images: Images, labels: NDArray[np.int64], index: NDArray[np.int64]
    ) -> float:
        self._model.eval()
        device = next(self._model.parameters()).device
        correct = 0
        size = _BATCH if images.shape[-1] <= 64 else _LARGE_BATCH
        bar = self._display.bar(title, math.ceil(len(index) / size))
        for first in range(0, len(index), size):
            chosen = index[first : first + size]
            batch = normalise(images[chosen], self._data.mean, self._data.std)
            inputs = channels_last(torch.from_numpy(batch).to(device))
            predicted = self._model(inputs).argmax(1).cpu().numpy()
            correct += int((predicted == labels[chosen]).sum())
            bar.update(1)
        bar.close()
        return correct / len(index)
