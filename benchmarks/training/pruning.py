"""The usual way to zero slices: prune the smallest ones of a dense network, then fine-tune."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import nn

from lilnetx.atomic import atomic_write
from lilnetx.data import ImageDataset, validation_split
from lilnetx.train.config import TrainConfig
from lilnetx.train.distill import task_loss
from lilnetx.train.feed import Batches, epoch_seed
from lilnetx.train.networks import build_network
from lilnetx.train.start import build_teacher, dense_start


def slice_masks(model: nn.Module, sparsity: float) -> dict[str, torch.Tensor]:
    """1 for kept slices of KxK convolutions, shape ``(F, C, 1, 1)``.

    Norms are compared over the whole network, each relative to the root mean square of its layer:
    layers differ in scale, which batch norm takes away again.
    """
    convs = {n: m for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    convs = {n: m for n, m in convs.items() if max(m.kernel_size) > 1}
    norms = {n: m.weight.detach().flatten(2).norm(dim=2) for n, m in convs.items()}
    norms = {n: v / v.square().mean().sqrt() for n, v in norms.items()}
    joined = torch.cat([v.flatten() for v in norms.values()])
    limit = joined.sort().values[min(len(joined) - 1, int(sparsity * len(joined)))]
    return {n: (v >= limit).float()[:, :, None, None] for n, v in norms.items()}


def prune_and_tune(
    config: TrainConfig, data: ImageDataset, folder: Path, sparsity: float
) -> nn.Module:
    """Prune ``config.start`` and fine-tune it for ``config.epochs``; resumes after each epoch.

    Learning rate, augmentation and teacher are those that ours has; the learning rate falls by half
    a cosine, without a rise before.
    """
    weights = dense_start(config, data.facts)
    assert weights is not None
    facts = data.facts
    model = build_network(config.network, facts.image_shape[0], len(facts.classes), config.width)
    model.load_state_dict(weights)
    model = model.to(memory_format=torch.channels_last)
    masks = slice_masks(model, sparsity)
    teacher = build_teacher(config, facts, weights)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=config.weight_decay)
    index, _ = validation_split(len(data.train_images), config.validation, config.seed)
    batches = Batches(config, data, index)
    path, first = folder / "pruned.pt", 0
    folder.mkdir(parents=True, exist_ok=True)
    if path.exists():
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epoch"]
    total = config.epochs * batches.steps
    apply(model, masks)
    for epoch in range(first, config.epochs):
        torch.manual_seed(epoch_seed(config.seed, epoch))
        model.train()
        for step, batch in enumerate(batches.epoch(epoch)):
            done = (epoch * batches.steps + step) / total
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
            with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16"):
                logits = model(batch.images).float()
                with torch.no_grad():
                    taught = teacher(batch.images).float()
            loss = task_loss(logits, batch.labels, taught, config.distill, config.temperature)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            apply(model, masks)
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        with atomic_write(path) as file:
            torch.save({**state, "epoch": epoch + 1}, file)
    return model.eval()


@torch.no_grad()
def apply(model: nn.Module, masks: dict[str, torch.Tensor]) -> None:
    for name, mask in masks.items():
        model.get_submodule(name).weight.mul_(mask)
