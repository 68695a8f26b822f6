"""What a run is doing, for TensorBoard: a callback for any training loop."""

from __future__ import annotations

import os
from types import TracebackType

from torch import Tensor

from lilnetx.train.events import EventWriter
from lilnetx.train.handle import CompressionHandle
from lilnetx.train.slice_map import encode_png, slice_map


class Monitor:
    """Writes curves, histograms and pictures of a compressed model's training.

    ``tensorboard --logdir FOLDER`` shows them (``pip install tensorboard``); to write them needs no
    package. In a loop of your own::

        with Monitor("runs/watched", handle) as monitor:
            for epoch in range(epochs):
                for images, labels in loader:
                    ...
                    monitor.step(step, task=loss, penalty=penalty)
                monitor.epoch(step, validation_top1=accuracy)

    Args:
        folder: Of the event files; made when it is not there.
        handle: Of the model, or None for a dense one.
        every: Steps from one point of the curves of :meth:`step` to the next.

    Raises:
        OutputError: From every method, when the folder cannot be written.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        handle: CompressionHandle | None = None,
        *,
        every: int = 20,
    ) -> None:
        self._handle, self._every = handle, every
        self._writer = EventWriter(folder)

    def step(self, number: int, **losses: Tensor | float) -> None:
        """After a training step: points of the curves ``loss/NAME``.

        Values are read only where a point is due, so that tensors may stay on their device.
        """
        if number % self._every:
            return
        for name, value in losses.items():
            read = value.detach().item() if isinstance(value, Tensor) else value
            self._writer.scalar(f"loss/{name}", read, number)
        self._writer.flush()

    def epoch(self, number: int, **figures: float) -> None:
        """After an epoch: the given figures, and what the model costs now.

        Curves of the bits of each group, the zero slices of each layer, the multiply-adds left, and
        the penalty's weights; a histogram of each layer's latents and a picture of its slices
        (:func:`.slice_map`).

        Args:
            number: Of the step.
            **figures: Points of the curves ``run/NAME``.
        """
        for name, value in figures.items():
            self._writer.scalar(f"run/{name}", value, number)
        if self._handle is not None:
            self._model(self._handle, number)
        self._writer.flush()

    def _model(self, handle: CompressionHandle, number: int) -> None:
        report, scalar = handle.report(), self._writer.scalar
        groups: dict[str, float] = {}
        for row in report.layers:
            groups[row.group] = groups.get(row.group, 0.0) + row.bits
            scalar(f"zero_slices/{row.name}", row.zero_slices / row.slices, number)
        for group, bits in groups.items():
            scalar(f"bits/{group}", bits, number)
        scalar("cost/bytes_of_latents", report.bytes, number)
        scalar("cost/macs_left", report.macs_left, number)
        scalar("cost/macs_left_share", report.macs_left / max(report.macs, 1), number)
        scalar("weight/rate", handle.objective.rate, number)
        scalar("weight/slices", handle.objective.slices, number)
        for layer in handle.layers:
            integers = layer.integers().cpu().numpy()
            self._writer.histogram(f"latents/{layer.name}", integers, number)
            grey = slice_map(layer)
            rows, columns = grey.shape
            self._writer.image(f"slices/{layer.name}", encode_png(grey), rows, columns, number)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


__all__ = ["Monitor"]
