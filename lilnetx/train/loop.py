"""The training loop behind ``lilnetx train``: seeded, logged, checkpointed, resumable."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lilnetx.data import DataFacts, ImageDataset, normalise, validation_split
from lilnetx.errors import MissingExtraError, OutputError, UsageError
from lilnetx.train.augment import augment
from lilnetx.train.checkpoint import (
    load_checkpoint,
    require_same_config,
    restore,
    save_checkpoint,
)
from lilnetx.train.compress import CompressionHandle, Objective, compress
from lilnetx.train.config import TrainConfig
from lilnetx.train.networks import build_network

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
_EVAL_BATCH = 500


@dataclass(frozen=True)
class TrainedModel:
    """What a run ends with: the model in eval mode, its handle (None if dense), final figures."""

    model: nn.Module
    handle: CompressionHandle | None
    config: TrainConfig
    result: dict[str, Any]


def build_model(
    config: TrainConfig, facts: DataFacts
) -> tuple[nn.Module, CompressionHandle | None]:
    """The network of a configuration, compressed unless it is a dense baseline, freshly seeded."""
    torch.manual_seed(config.seed)
    channels = facts.image_shape[0]
    model = build_network(config.network, channels, len(facts.classes), config.width)
    if config.dense:
        return model, None
    objective = Objective(
        rate=config.rate,
        slices=config.slices,
        slice_norm=config.slice_norm,
        l2=config.l2,
        cost_weighted=config.cost_weighted,
    )
    return model, compress(model, objective, slice_1x1=config.slice_1x1)


def train(
    config: TrainConfig, data: ImageDataset, folder: Path, *, progress: bool = True
) -> TrainedModel:
    """Train, or go on from the folder's checkpoint.

    The folder receives ``checkpoint.pt`` after each epoch and ``log.jsonl``: a line for the
    configuration, one for each epoch with validation figures, and a last one with the test
    accuracy, which nothing was chosen by.

    Raises:
        UsageError: The configuration cannot work.
        CheckpointError: The folder's checkpoint is damaged or of another configuration.
        OutputError: The folder cannot be written.
    """
    config.check()
    if not 0 < config.validation < len(data.train_images):
        raise UsageError(
            f"validation must be between 1 and {len(data.train_images) - 1} of the "
            f"{len(data.train_images)} training images, not {config.validation}"
        )
    run = _Run(config, data, folder, progress)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / LOG, "a", encoding="utf-8") as log:
            return run.execute(log)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror})") from error


class _Run:
    """State of one run."""

    def __init__(
        self, config: TrainConfig, data: ImageDataset, folder: Path, progress: bool
    ) -> None:
        self.config, self.data, self.folder, self.progress = config, data, folder, progress
        model, self.handle = build_model(config, data.facts)
        # oneDNN's convolutions are fastest in this layout.
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(
            self._parameter_groups(), lr=config.learning_rate, weight_decay=0.0
        )
        for group in self.optimizer.param_groups:
            group["peak"] = group["lr"]
        train_index, self.validation_index = validation_split(
            len(data.train_images), config.validation, config.seed
        )
        self.images = torch.from_numpy(data.train_images[train_index])
        self.labels = torch.from_numpy(data.train_labels[train_index])
        self.steps_per_epoch = math.ceil(len(self.images) / config.batch_size)
        self.mean = torch.tensor(data.mean).view(1, -1, 1, 1)
        self.std = torch.tensor(data.std).view(1, -1, 1, 1)

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
        if start == 0:
            _write(log, {"event": "config", "torch": torch.__version__, **self.config.as_json()})
        if self.handle is not None:
            self._see_output_areas()
        for epoch in range(start, self.config.epochs):
            row = self._epoch(epoch)
            save_checkpoint(
                path, self.config, self.data.facts, epoch + 1, self.model, self.optimizer
            )
            _write(log, row)
        result = self._final()
        _write(log, result)
        self.model.eval()
        return TrainedModel(self.model, self.handle, self.config, result)

    @torch.no_grad()
    def _see_output_areas(self) -> None:
        """One pass, so that the first step's penalty already knows what slices cost."""
        self.model.eval()
        self.model(torch.zeros(1, *self.data.facts.image_shape))

    def _epoch(self, epoch: int) -> dict[str, Any]:
        config, began = self.config, time.monotonic()
        # Seeded by the epoch, so that a resumed run draws what an uninterrupted one would.
        torch.manual_seed(config.seed * 100_003 + epoch + 1)
        generator = torch.Generator().manual_seed(config.seed * 100_003 + epoch + 1)
        order = torch.randperm(len(self.images), generator=generator)
        self.model.train()
        loss_sum = penalty_sum = 0.0
        bar = self._bar(epoch)
        for step in range(self.steps_per_epoch):
            index = order[step * config.batch_size : (step + 1) * config.batch_size]
            images = augment(self.images[index], config.crop_padding, config.flip, generator)
            inputs = (images.float() / 255.0 - self.mean) / self.std
            done = (epoch * self.steps_per_epoch + step) / (config.epochs * self.steps_per_epoch)
            for group in self.optimizer.param_groups:
                group["lr"] = group["peak"] * _schedule(done, config.warmup)
            with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16"):
                logits = self.model(inputs.contiguous(memory_format=torch.channels_last))
            loss = functional.cross_entropy(logits.float(), self.labels[index])
            penalty = torch.zeros(())
            if self.handle is not None:
                penalty = self.handle.penalty(min(1.0, done / max(config.penalty_ramp, 1e-9)))
            self.optimizer.zero_grad(set_to_none=True)
            (loss + penalty).backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            loss_sum += loss.item()
            penalty_sum += penalty.item()
            bar.update(1)
        bar.close()
        row = {
            "event": "epoch",
            "epoch": epoch + 1,
            "loss": loss_sum / self.steps_per_epoch,
            "penalty": penalty_sum / self.steps_per_epoch,
            "validation_top1": self._accuracy(
                self.data.train_images[self.validation_index],
                self.data.train_labels[self.validation_index],
            ),
            "seconds": round(time.monotonic() - began, 1),
        }
        if self.handle is not None:
            row.update(self.handle.report().totals())
        return row

    def _final(self) -> dict[str, Any]:
        images, labels = self.data.test_images, self.data.test_labels
        top1 = self._accuracy(images, labels)
        return {
            "event": "final",
            "test_top1": top1,
            "test_correct": round(top1 * len(labels)),
            "test_images": len(labels),
            **(self.handle.report().totals() if self.handle else {}),
        }

    @torch.no_grad()
    def _accuracy(self, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> float:
        self.model.eval()
        correct = 0
        for first in range(0, len(images), _EVAL_BATCH):
            batch = normalise(images[first : first + _EVAL_BATCH], self.data.mean, self.data.std)
            predicted: Tensor = self.model(torch.from_numpy(batch)).argmax(1)
            correct += int((predicted.numpy() == labels[first : first + _EVAL_BATCH]).sum())
        return correct / len(images)

    def _bar(self, epoch: int) -> Any:
        try:
            from tqdm import tqdm
        except ImportError as error:
            raise MissingExtraError("tqdm", "train", "training") from error
        return tqdm(
            total=self.steps_per_epoch,
            desc=f"epoch {epoch + 1}/{self.config.epochs}",
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
