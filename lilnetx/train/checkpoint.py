"""Checkpoints: written whole or not at all, and refused by a run that they do not fit."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lilnetx.atomic import atomic_write
from lilnetx.data import DataFacts, ImageDataset
from lilnetx.errors import CheckpointError, UsageError
from lilnetx.train.config import TrainConfig

_VERSION = 1


def save_checkpoint(
    path: Path,
    config: TrainConfig,
    data: ImageDataset,
    epoch: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    steering: dict[str, Any] | None = None,
) -> None:
    """Write the state after ``epoch`` epochs, atomically."""
    state = {
        "lilnetx_checkpoint": _VERSION,
        "config": config.as_json(),
        "data": data.facts.as_json(),
        "images": data.digest(),
        "epoch": epoch,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "steering": steering,
    }
    with atomic_write(path) as file:
        torch.save(state, file)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; its ``config`` and ``data`` come back as their classes.

    Raises:
        CheckpointError: Missing, damaged, or not one of ours.
    """
    try:
        # weights_only: a checkpoint from a stranger must not run code.
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such checkpoint") from error
    except pickle.UnpicklingError as error:
        # torch's own text advises to load the file without its safeguards.
        raise CheckpointError(f"{path}: not a readable checkpoint of lilnetx train") from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not a readable checkpoint ({_first_line(error)}); if it is a damaged one, "
            "delete it and train again"
        ) from error
    if not isinstance(state, dict) or "lilnetx_checkpoint" not in state:
        raise CheckpointError(
            f"{path}: not a checkpoint of lilnetx train; a state dict alone holds no network: load "
            "it into its model and pack that (lilnetx.pack), or export it to ONNX"
        )
    if state["lilnetx_checkpoint"] != _VERSION:
        raise CheckpointError(
            f"{path}: checkpoint version {state['lilnetx_checkpoint']}, but this lilnetx reads "
            f"version {_VERSION}"
        )
    try:
        state["config"] = TrainConfig.from_json(state["config"])
        state["config"].check()
        state["data"] = DataFacts.from_json(state["data"])
        state["epoch"] = int(state["epoch"])
        if not isinstance(state["model"], dict):
            raise TypeError("no weights")
    except (TypeError, KeyError, ValueError, UsageError) as error:
        raise CheckpointError(
            f"{path}: its content does not fit ({error}); it is damaged or of another version"
        ) from error
    return state


def restore(
    path: Path, state: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer | None
) -> None:
    """Put a loaded checkpoint's state into a model (and optimiser).

    Raises:
        CheckpointError: The state is of another network.
    """
    try:
        model.load_state_dict(state["model"])
        if optimizer is not None:
            optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path}: this checkpoint is of another network: {_first_line(error)}"
        ) from error


def require_same_config(path: Path, stored: TrainConfig, wanted: TrainConfig) -> None:
    """Refuse to resume a run under another configuration; CheckpointError names the differences."""
    old, new = stored.as_json(), wanted.as_json()
    differences = [f"{k}: {old[k]} there, {new[k]} here" for k in new if old[k] != new[k]]
    if differences:
        raise CheckpointError(
            f"{path} was made with other settings ({'; '.join(differences)}): resume with the same "
            "settings, or train into another folder"
        )


def require_same_data(path: Path, state: dict[str, Any], data: ImageDataset) -> None:
    """Refuse to resume a run on other images than it began with; CheckpointError.

    Those held out for validation could be among the ones that it was trained with.
    """
    if state["data"] != data.facts or state.get("images") != data.digest():
        raise CheckpointError(
            f"{path} was made with other images (files added, removed or renamed, or another "
            "folder): resume with the same, or train into another folder"
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
