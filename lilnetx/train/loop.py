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

import torch
from torch import nn

from lilnetx.data import ImageDataset, validation_split
from lilnetx.data.folder import FolderImages
from lilnetx.errors import DivergedError, OutputError, UsageError
from lilnetx.train.checkpoint import (
    load_checkpoint,
    require_same_config,
    require_same_data,
    restore,
    save_checkpoint,
)
from lilnetx.train.config import TrainConfig
from lilnetx.train.device import training_device
from lilnetx.train.display import Display
from lilnetx.train.distill import task_loss
from lilnetx.train.distributed import average, join_processes, wrap_model
from lilnetx.train.evaluate import Evaluation
from lilnetx.train.feed import Batch, Batches, epoch_seed
from lilnetx.train.folder_feed import FolderBatches
from lilnetx.train.handle import CompressionHandle
from lilnetx.train.monitor import Monitor
from lilnetx.train.origin import file_meta
from lilnetx.train.precision import keep_strided_depthwise_float32
from lilnetx.train.start import build_model, build_teacher, dense_start
from lilnetx.train.steer import Steering, packed_bytes

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"


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
    device: str = "auto",
) -> TrainedModel:
    """Train, or go on from the folder's checkpoint.

    The folder receives ``checkpoint.pt`` after each epoch and ``log.jsonl``: a line for the
    configuration, one for each epoch with validation figures, and a last one with the test
    accuracy, which nothing was chosen by.

    Args:
        config: The run.
        data: Its data.
        folder: Of checkpoint and log.
        progress: Whether to show a bar, and a line of figures after each epoch.
        tensorboard: Folder for TensorBoard's events, see :class:`.Monitor`; None for none.
        device: ``cpu``, ``cuda``, or ``auto`` for a GPU where there is one; a run may go on on
            another.

    Raises:
        UsageError: The configuration cannot work.
        CheckpointError: The folder's checkpoint is damaged or of another configuration.
        OutputError: The folder cannot be written.
        DivergedError: The loss is no number any more; the last checkpoint is from before.
    """
    config.check()
    if not 0 < config.validation < len(data.train_images):
        count = len(data.train_images)
        raise UsageError(
            f"validation holds out {config.validation} of {count} training images: give another "
            f"number, such as {max(1, count // 10)}"
        )
    place = training_device(device)
    rank, ranks = join_processes(place)
    if config.batch_size % ranks:
        raise UsageError(f"a batch of {config.batch_size} cannot be shared by {ranks} processes")
    run = _Run(config, data, folder, place, Display(progress and rank == 0, config.epochs))
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
        self,
        config: TrainConfig,
        data: ImageDataset,
        folder: Path,
        device: torch.device,
        display: Display,
    ) -> None:
        self.config, self.data, self.folder = config, data, folder
        self.device, self.display = device, display
        self.rank, self.ranks = join_processes(device)
        weights = dense_start(config, data.facts)
        model, self.handle = build_model(config, data.facts, weights)
        self.teacher = None
        if weights is not None and config.distill:
            self.teacher = build_teacher(config, data.facts, weights).to(device)
        # Convolutions are fastest in this layout, on both kinds of devices.
        self.model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.precision == "bf16":
            keep_strided_depthwise_float32(self.model)
        self.network = wrap_model(self.model, self.ranks)
        self.optimizer = torch.optim.AdamW(
            self._parameter_groups(), lr=config.learning_rate, weight_decay=0.0, foreach=True
        )
        for group in self.optimizer.param_groups:
            group["peak"] = group["lr"]
        index, held_out = validation_split(len(data.train_images), config.validation, config.seed)
        self.evaluation = Evaluation(self.model, data, held_out, display)
        self.batches: Batches | FolderBatches
        if isinstance(data.train_images, FolderImages):
            images = data.train_images
            self.batches = FolderBatches(config, data, images, index, self.rank, self.ranks)
        else:
            self.batches = Batches(config, data, index, self.rank, self.ranks)
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
            require_same_data(path, state, self.data)
            restore(path, state, self.model, self.optimizer)
            start = int(state["epoch"])
            if self.steering is not None:
                self.steering.restore(state["steering"])
        if start == 0:
            _write(log, {"event": "config", "torch": torch.__version__, **self.config.as_json()})
        if self.handle is not None:
            self._see_output_areas()
        if self.steering is not None:
            self.steering.prepare()
            if start == 0:
                self.steering.calibrate()
        self.display.begin(start)
        for epoch in range(start, self.config.epochs):
            row = self._epoch(epoch)
            if self.rank == 0:
                self._save(path, epoch + 1)
            _write(log, row)
            self.display.epoch(row)
        result = self._final()
        _write(log, result)
        self.model.eval()
        return TrainedModel(self.model, self.handle, self.config, result)

    def _save(self, path: Path, epoch: int) -> None:
        steering = None if self.steering is None else self.steering.state()
        save_checkpoint(path, self.config, self.data, epoch, self.model, self.optimizer, steering)

    @torch.no_grad()
    def _see_output_areas(self) -> None:
        """One pass, so that the first step's penalty already knows what slices cost."""
        self.model.eval()
        self.model(torch.zeros(1, *self.data.facts.image_shape, device=self.device))

    def _epoch(self, epoch: int) -> dict[str, Any]:
        config, began, steps = self.config, time.monotonic(), self.batches.steps
        # Seeded by the epoch, so that a resumed run draws what an uninterrupted one would.
        torch.manual_seed(epoch_seed(config.seed, epoch))
        self.model.train()
        loss_sum = penalty_sum = 0.0
        bar = self.display.bar(f"epoch {epoch + 1}/{config.epochs}", steps)
        for step, batch in enumerate(self.batches.epoch(epoch)):
            loss, penalty = self._step(batch, epoch * steps + step, config.epochs * steps)
            loss_sum += loss
            penalty_sum += penalty
            if self.monitor is not None:
                self.monitor.step(epoch * steps + step, task=loss, penalty=penalty / self.ranks)
            bar.update(1)
        bar.close()
        if self.steering is not None:
            self.steering.calibrate()
            if epoch + 1 == config.epochs:
                self.steering.trim()
        loss_sum, penalty_sum = average([loss_sum, penalty_sum])
        self._validation_top1 = self.evaluation.validation()
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
        images, labels = batch.images.to(self.device), batch.labels.to(self.device)
        reduced = config.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=reduced):
            logits = self.network(images).float()
            taught = None
            if self.teacher is not None:
                with torch.no_grad():
                    taught = self.teacher(images).float()
        loss = task_loss(logits, labels, taught, config.distill, config.temperature)
        loss = loss * batch.weight
        penalty = torch.zeros(())
        if self.handle is not None:
            ramp = min(1.0, done / max(config.penalty_ramp, 1e-9))
            if self.steering is not None:
                # Its weights rise by themselves, as far as is needed.
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

    def _final(self) -> dict[str, Any]:
        top1, images = self.evaluation.test(), len(self.data.test_labels)
        if math.isnan(self._validation_top1):  # no epoch was left to run
            self._validation_top1 = self.evaluation.validation()
        return {
            "event": "final",
            "validation_top1": self._validation_top1,
            "test_top1": top1,
            "test_correct": round(top1 * images),
            "test_images": images,
            **(self.handle.report().totals() if self.handle else {}),
        }


def _schedule(done: float, warmup: float) -> float:
    """Learning rate relative to its peak: a linear rise, then half a cosine."""
    if done < warmup:
        return (done + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1.0 + math.cos(math.pi * (done - warmup) / (1.0 - warmup)))


def _write(log: TextIO, row: dict[str, Any]) -> None:
    log.write(json.dumps(row) + "\n")
    log.flush()
