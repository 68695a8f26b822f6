"""The training loop behind ``lilnetx train``: seeded, logged, checkpointed, resumable."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lilnetx.data import ImageDataset, Images, normalise, validation_split
from lilnetx.data.folder import FolderImages
from lilnetx.errors import DivergedError, MissingExtraError, OutputError, UsageError
from lilnetx.train.checkpoint import (
    load_checkpoint,
    require_same_config,
    restore,
    save_checkpoint,
)
from lilnetx.train.config import TrainConfig
from lilnetx.train.distill import task_loss
from lilnetx.train.distributed import average, join_processes, wrap_model
from lilnetx.train.feed import Batch, Batches, epoch_seed
from lilnetx.train.folder_feed import FolderBatches
from lilnetx.train.handle import CompressionHandle
from lilnetx.train.monitor import Monitor
from lilnetx.train.origin import file_meta
from lilnetx.train.precision import channels_last, keep_strided_depthwise_float32
from lilnetx.train.start import build_model, build_teacher, dense_start
from lilnetx.train.steer import Steering, packed_bytes

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
# Images of an evaluation batch: of 32 pixels, and of 224.
_EVAL_BATCH, _LARGE_EVAL_BATCH = 500, 50


@dataclass(frozen=True)
class TrainedModel:
    """What a run ends with: the model in eval mode, its handle (None if dense), final figures."""

    model: nn.Module
    handle: CompressionHandle | None
    config: TrainConfig
    result: dict[str, Any]


def train(
    config: TrainConfig,
    data: ImageDataset,
    folder: Path,
    *,
    progress: bool = True,
    tensorboard: Path | None = None,
) -> TrainedModel:
    """Train, or go on from the folder's checkpoint.

    The folder receives ``checkpoint.pt`` after each epoch and ``log.jsonl``: a line for the
    configuration, one for each epoch with validation figures, and a last one with the test
    accuracy, which nothing was chosen by.

    Args:
        config: The run.
        data: Its data.
        folder: Of checkpoint and log.
        progress: Whether to show a bar.
        tensorboard: Folder for TensorBoard's events, see :class:`.Monitor`; None for none.

    Raises:
        UsageError: The configuration cannot work.
        CheckpointError: The folder's checkpoint is damaged or of another configuration.
        OutputError: The folder cannot be written.
        DivergedError: The loss is no number any more; the last checkpoint is from before.
    """
    config.check()
    if not 0 < config.validation < len(data.train_images):
        raise UsageError(
            f"validation must be between 1 and {len(data.train_images) - 1} of the "
            f"{len(data.train_images)} training images, not {config.validation}"
        )
    rank, ranks = join_processes()
    if config.batch_size % ranks:
        raise UsageError(f"a batch of {config.batch_size} cannot be shared by {ranks} processes")
    run = _Run(config, data, folder, progress and rank == 0)
    if tensorboard is not None and rank == 0:
        run.monitor = Monitor(tensorboard, run.handle)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # All processes work out all figures; the first one writes them.
        with open(folder / LOG if rank == 0 else os.devnull, "a", encoding="utf-8") as log:
            return run.execute(log)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror})") from error
    finally:
        if run.monitor is not None:
            run.monitor.close()


class _Run:
    """State of one run."""

    def __init__(
        self, config: TrainConfig, data: ImageDataset, folder: Path, progress: bool
    ) -> None:
        self.config, self.data, self.folder, self.progress = config, data, folder, progress
        self.rank, self.ranks = join_processes()
        weights = dense_start(config, data.facts)
        model, self.handle = build_model(config, data.facts, weights)
        self.teacher = None
        if weights is not None and config.distill:
            self.teacher = build_teacher(config, data.facts, weights)
        # oneDNN's convolutions are fastest in this layout.
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.precision == "bf16":
            keep_strided_depthwise_float32(self.model)
        self.network = wrap_model(self.model, self.ranks)
        self.optimizer = torch.optim.AdamW(
            self._parameter_groups(), lr=config.learning_rate, weight_decay=0.0, foreach=True
        )
        for group in self.optimizer.param_groups:
            group["peak"] = group["lr"]
        train_index, self.validation_index = validation_split(
            len(data.train_images), config.validation, config.seed
        )
        self.batches: Batches | FolderBatches
        if isinstance(data.train_images, FolderImages):
            self.batches = FolderBatches(config, data, data.train_images, train_index)
        else:
            self.batches = Batches(config, data, train_index)
        self.monitor: Monitor | None = None
        self._validation_top1 = math.nan
        self.steering: Steering | None = None
        if self.handle is not None and (config.target_bytes or config.target_macs):
            meta = file_meta(config, data.facts, config.epochs)
            size = partial(packed_bytes, self.model, self.handle, data.facts.image_shape, meta)
            self.steering = Steering(
                self.handle, config.target_bytes, config.target_macs, size, config.macs_settled
            )

    def _parameter_groups(self) -> list[dict[str, Any]]:
        config = self.config
        if self.handle is None:
            return [{"params": list(self.model.parameters()), "weight_decay": config.weight_decay}]
        groups = self.handle.parameter_groups(config.learning_rate)
        groups[-1]["weight_decay"] = config.weight_decay
        return groups

    def execute(self, log: TextIO) -> TrainedModel:
        path = self.folder / CHECKPOINT
        start = 0
        if path.exists():
            state = load_checkpoint(path)
            require_same_config(path, state["config"], self.config)
            restore(path, state, self.model, self.optimizer)
            start = int(state["epoch"])
            if self.steering is not None:
                self.steering.restore(state["steering"])
        if start == 0:
            _write(log, {"event": "config", "torch": torch.__version__, **self.config.as_json()})
        if self.handle is not None:
            self._see_output_areas()
        if self.steering is not None and start == 0:
            self.steering.calibrate()
        for epoch in range(start, self.config.epochs):
            row = self._epoch(epoch)
            if self.rank == 0:
                self._save(path, epoch + 1)
            _write(log, row)
        result = self._final()
        _write(log, result)
        self.model.eval()
        return TrainedModel(self.model, self.handle, self.config, result)

    def _save(self, path: Path, epoch: int) -> None:
        steering = None if self.steering is None else self.steering.state()
        save_checkpoint(
            path, self.config, self.data.facts, epoch, self.model, self.optimizer, steering
        )

    @torch.no_grad()
    def _see_output_areas(self) -> None:
        """One pass, so that the first step's penalty already knows what slices cost."""
        self.model.eval()
        self.model(torch.zeros(1, *self.data.facts.image_shape))

    def _epoch(self, epoch: int) -> dict[str, Any]:
        config, began, steps = self.config, time.monotonic(), self.batches.steps
        # Seeded by the epoch, so that a resumed run draws what an uninterrupted one would.
        torch.manual_seed(epoch_seed(config.seed, epoch))
        self.model.train()
        loss_sum = penalty_sum = 0.0
        bar = self._bar(f"epoch {epoch + 1}/{config.epochs}", steps)
        for step, batch in enumerate(self.batches.epoch(epoch, self.rank, self.ranks)):
            loss, penalty = self._step(batch, epoch * steps + step, config.epochs * steps)
            loss_sum += loss
            penalty_sum += penalty
            if self.monitor is not None:
                self.monitor.step(epoch * steps + step, task=loss, penalty=penalty)
            bar.update(1)
        bar.close()
        if self.steering is not None:
            self.steering.calibrate()
            if epoch + 1 == config.epochs:
                self.steering.trim()
        loss_sum, penalty_sum = average([loss_sum, penalty_sum])
        self._validation_top1 = self._validate()
        row = {
            "event": "epoch",
            "epoch": epoch + 1,
            "loss": loss_sum / steps,
            "penalty": penalty_sum / steps,
            "validation_top1": self._validation_top1,
            "seconds": round(time.monotonic() - began, 1),
        }
        if self.handle is not None:
            row.update(self.handle.report().totals())
        if self.monitor is not None:
            self.monitor.epoch(
                (epoch + 1) * steps,
                loss=loss_sum / steps,
                penalty=penalty_sum / steps,
                validation_top1=self._validation_top1,
            )
        return row

    def _step(self, batch: Batch, number: int, total: int) -> tuple[float, float]:
        config, done = self.config, number / total
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * _schedule(done, config.warmup)
        if self.handle is not None and number == math.ceil(config.fix_zeros * total):
            self.handle.fix_zero_slices()
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16"):
            logits = self.network(batch.images).float()
            taught = None
            if self.teacher is not None:
                with torch.no_grad():
                    taught = self.teacher(batch.images).float()
        loss = task_loss(logits, batch.labels, taught, config.distill, config.temperature)
        loss = loss * batch.weight
        penalty = torch.zeros(())
        if self.handle is not None:
            ramp = min(1.0, done / max(config.penalty_ramp, 1e-9))
            if self.steering is not None:
                self.steering.update(number, total)
                ramp = 1.0
            penalty = self.handle.penalty(ramp)
        self.optimizer.zero_grad(set_to_none=True)
        (loss + penalty).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        values = loss.item(), penalty.item()
        if not math.isfinite(sum(values)):
            raise DivergedError(
                f"the loss is {values[0]} and the penalty {values[1]} in step {number}: train with "
                "a smaller learning_rate"
            )
        return values

    def _validate(self) -> float:
        data = self.data
        return self._accuracy(
            "validation", data.train_images, data.train_labels, self.validation_index
        )

    def _final(self) -> dict[str, Any]:
        images, labels = self.data.test_images, self.data.test_labels
        top1 = self._accuracy("test", images, labels, np.arange(len(labels)))
        if math.isnan(self._validation_top1):  # no epoch was left to run
            self._validation_top1 = self._validate()
        return {
            "event": "final",
            "validation_top1": self._validation_top1,
            "test_top1": top1,
            "test_correct": round(top1 * len(labels)),
            "test_images": len(labels),
            **(self.handle.report().totals() if self.handle else {}),
        }

    @torch.no_grad()
    def _accuracy(
        self, title: str, images: Images, labels: NDArray[np.int64], index: NDArray[np.int64]
    ) -> float:
        """Share of the images at some indices whose class is found."""
        self.model.eval()
        correct = 0
        size = _EVAL_BATCH if images.shape[-1] <= 64 else _LARGE_EVAL_BATCH
        bar = self._bar(title, math.ceil(len(index) / size))
        for first in range(0, len(index), size):
            chosen = index[first : first + size]
            batch = normalise(images[chosen], self.data.mean, self.data.std)
            predicted: Tensor = self.model(channels_last(torch.from_numpy(batch))).argmax(1)
            correct += int((predicted.numpy() == labels[chosen]).sum())
            bar.update(1)
        bar.close()
        return correct / len(index)

    def _bar(self, title: str, steps: int) -> Any:
        try:
            from tqdm import tqdm
        except ImportError as error:
            raise MissingExtraError("tqdm", "train", "training") from error
        return tqdm(
            total=steps,
            desc=title,
            unit="step",
            disable=not self.progress,
            leave=False,
        )


def _schedule(done: float, warmup: float) -> float:
    """Learning rate relative to its peak: a linear rise, then half a cosine."""
    if done < warmup:
        return (done + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1.0 + math.cos(math.pi * (done - warmup) / (1.0 - warmup)))


def _write(log: TextIO, row: dict[str, Any]) -> None:
    log.write(json.dumps(row) + "\n")
    log.flush()
