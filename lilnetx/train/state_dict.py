"""Weights of other people's files, by parameter names, as a start for ours."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lilnetx.errors import CheckpointError, MissingExtraError

# Names that are listed of each kind of mismatch.
_LISTED = 4
# DenseNets that were stored before dots were allowed in names: norm.1 for norm1.
_OLD_DENSENET = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)")


def read_tensors(path: Path) -> Any:
    """What a ``.safetensors`` or a torch file holds, read without running code in it.

    Raises:
        CheckpointError: Missing or damaged, or holds more than tensors.
        MissingExtraError: A ``.safetensors`` file, and safetensors is not installed.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    if path.suffix == ".safetensors":
        try:
            from safetensors.torch import load_file
        except ImportError as error:
            raise MissingExtraError("safetensors", "export", f"reading {path}") from error
        try:
            return load_file(path)
        except Exception as error:  # the package has no public base of its errors
            raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own text advises to load the file without its safeguards.
        raise CheckpointError(
            f"{path}: holds more than tensors, or is damaged; save the model's state_dict()"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: not a readable checkpoint ({line})") from error


def start_from_state(
    path: Path, content: Any, network: nn.Module
) -> tuple[dict[str, Tensor], bool]:
    """A network's whole state, with the weights of a file that has torchvision's form.

    Names may begin with ``module.``, and they may lie under ``state_dict`` or ``model``. Where only
    the number of classes differs, the last linear layer stays as fresh as it is in ``network``, and
    a warning says so.

    Args:
        path: For messages.
        content: Of the file.
        network: Ours, freshly made.

    Returns:
        The state, and whether the last layer is fresh.

    Raises:
        CheckpointError: The file holds no weights, or they do not fit; lists names that differ.
    """
    given = _tensors(path, content)
    state: dict[str, Tensor] = network.state_dict()
    head = [f"{_last_linear(network)}.{part}" for part in ("weight", "bias")]
    missing = [k for k in state if k not in given and not k.endswith("num_batches_tracked")]
    unknown = [k for k in given if k not in state]
    shapes = [k for k in state if k in given and given[k].shape != state[k].shape]
    fresh = [k for k in head if k in shapes and given[k].shape[1:] == state[k].shape[1:]]
    wrong = [k for k in shapes if k not in fresh]
    parts = [
        _listed("without weights for", missing),
        _listed("with weights for unknown", unknown),
        _listed(
            "of other shapes:",
            [f"{k} {tuple(given[k].shape)} instead of {tuple(state[k].shape)}" for k in wrong],
        ),
    ]
    if any(parts):
        raise CheckpointError(
            f"{path}: these weights are of another network ({'; '.join(filter(None, parts))})"
        )
    if fresh:
        warnings.warn(
            f"{path} knows {len(given[fresh[0]])} classes, not {len(state[fresh[0]])}: layer "
            f"{head[0].removesuffix('.weight')} starts fresh",
            stacklevel=2,
        )
    whole = {k: v if k in fresh or k not in given else given[k] for k, v in state.items()}
    return whole, bool(fresh)


def _tensors(path: Path, content: Any) -> dict[str, Tensor]:
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not (
        isinstance(content, dict)
        and content
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())
    ):
        raise CheckpointError(
            f"{path}: neither a checkpoint of lilnetx train nor a state_dict of tensors by name"
        )
    if all(name.startswith("module.") for name in content):
        content = {name.removeprefix("module."): value for name, value in content.items()}
    return {_OLD_DENSENET.sub(r"\1\2", name): value for name, value in content.items()}


def _last_linear(network: nn.Module) -> str:
    names = [n for n, module in network.named_modules() if isinstance(module, nn.Linear)]
    return str(names[-1])


def _listed(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{what} {', '.join(names[:_LISTED])}{more}"


__all__ = ["read_tensors", "start_from_state"]
