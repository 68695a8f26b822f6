"""The model that a run starts from: fresh, or a trained network's weights; and the teacher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from lilnetx.data import DataFacts
from lilnetx.errors import CheckpointError
from lilnetx.train.checkpoint import load_checkpoint, restore
from lilnetx.train.compress import compress
from lilnetx.train.config import TrainConfig
from lilnetx.train.handle import CompressionHandle
from lilnetx.train.networks import build_network
from lilnetx.train.objective import Objective
from lilnetx.train.state_dict import read_tensors, start_from_state

# Files that may hold weights of others.
_STATES = (".pth", ".pt", ".safetensors")


def build_model(
    config: TrainConfig, facts: DataFacts, weights: dict[str, Any] | None = None
) -> tuple[nn.Module, CompressionHandle | None]:
    """The network of a configuration, compressed unless it is a dense baseline, freshly seeded.

    Args:
        config: The run.
        facts: Image shape and classes.
        weights: State of the network without latents to start from, instead of fresh weights.
    """
    torch.manual_seed(config.seed)
    channels = facts.image_shape[0]
    model = build_network(config.network, channels, len(facts.classes), config.width)
    if weights is not None:
        model.load_state_dict(weights)
    if config.dense:
        return model, None
    objective = Objective(
        rate=config.rate,
        slices=config.slices,
        slice_norm=config.slice_norm,
        concave=config.concave,
        l2=config.l2,
        cost_weighted=config.cost_weighted,
        sampled_noise=config.sampled_noise,
    )
    handle = compress(
        model, objective, slice_1x1=config.slice_1x1, latent_width=config.latent_width
    )
    return model, handle


def dense_start(config: TrainConfig, facts: DataFacts) -> dict[str, Any] | None:
    """The weights that the configuration starts from, or None for a fresh start.

    Those of a compressed run are its decoded weights, without latents and decoders.

    Raises:
        CheckpointError: ``config.start`` is no checkpoint of a run of the same network on images
            and classes alike, with the same ones held out, nor a state_dict that fits; see
            :func:`.start_from_state`.
    """
    if not config.start:
        return None
    path = Path(config.start)
    if path.is_dir():
        path = path / "checkpoint.pt"
    elif path.suffix in _STATES:
        content = read_tensors(path)
        if not (isinstance(content, dict) and "lilnetx_checkpoint" in content):
            return _foreign_start(config, facts, path, content)
    state = load_checkpoint(path)
    told: TrainConfig = state["config"]
    other = [
        f"{what}: {there} there, {here} here"
        for what, there, here in (
            ("network", told.network, config.network),
            ("width", told.width, config.width),
            ("image shape", state["data"].image_shape, facts.image_shape),
            ("classes", len(state["data"].classes), len(facts.classes)),
        )
        if there != here
    ]
    if other:
        raise CheckpointError(f"{path}: cannot be started from ({'; '.join(other)})")
    split = [(c.seed, c.validation) for c in (told, config)]
    if state["data"].name == facts.name and split[0] != split[1]:
        raise CheckpointError(
            f"{path}: was trained with images that this run would hold out for validation, since "
            f"it drew its own by seed {told.seed} ({told.validation} images): give the same seed "
            "and number"
        )
    model, handle = build_model(replace(told, start=""), facts)
    restore(path, state, model, None)
    for layer in handle.layers if handle else ():
        # In eval mode, so that the weights are those of the file.
        layer.module.eval()
        parametrize.remove_parametrizations(layer.module, "weight", leave_parametrized=True)
    return model.state_dict()


def _foreign_start(
    config: TrainConfig, facts: DataFacts, path: Path, content: Any
) -> dict[str, Any]:
    """The weights of a file that is not ours, by torchvision's names."""
    torch.manual_seed(config.seed)
    network = build_network(config.network, facts.image_shape[0], len(facts.classes), config.width)
    state, fresh = start_from_state(path, content, network)
    if fresh and config.distill:
        raise CheckpointError(
            f"{path}: cannot teach, since it does not know the {len(facts.classes)} classes of "
            f"{facts.name}: fine-tune it with dense first, then start from that run with distill, "
            "or leave out distill"
        )
    return state


def build_teacher(config: TrainConfig, facts: DataFacts, weights: dict[str, Any]) -> nn.Module:
    """The dense network in eval mode, whose answers the compressed one learns from."""
    channels = facts.image_shape[0]
    teacher = build_network(config.network, channels, len(facts.classes), config.width)
    teacher.load_state_dict(weights)
    return teacher.to(memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload,no-any-return]
