"""Scales and shifts of channels that the layer before them can take over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lilnetx.graph import ir
from lilnetx.graph.ir import Shape

if TYPE_CHECKING:
    from lilnetx.graph.builder import Draft


def fold_affines(
    drafts: MutableMapping[str, Draft], outputs: Sequence[str], inputs: Mapping[str, Shape]
) -> dict[str, str]:
    """Folds each :class:`ChannelAffine` into the convolution, linear layer or affine before it.

    That is where nothing else reads what comes before, and its channels are the affine's.

    Returns:
        New names of values that are gone.
    """
    readers = Counter(name for draft in drafts.values() for name in draft.inputs)
    readers.update(outputs)
    renamed: dict[str, str] = {}
    shapes: dict[str, Shape] = dict(inputs)
    for draft in list(drafts.values()):
        draft.inputs = tuple(renamed.get(name, name) for name in draft.inputs)
        shapes[draft.name] = draft.op.output_shape([shapes[name] for name in draft.inputs])
        if isinstance(draft.op, ir.Add):
            _fold_bias(draft, drafts, readers, renamed)
        if not isinstance(draft.op, ir.ChannelAffine):
            continue
        before = drafts.get(draft.inputs[0])
        if before is None or readers[before.name] != 1:
            continue
        if not _has_channels(before, shapes[before.name]):
            continue
        if draft.scale is not None:
            before.scale = draft.scale if before.scale is None else before.scale * draft.scale
            before.bias = None if before.bias is None else before.bias * draft.scale
        if draft.bias is not None:
            before.bias = draft.bias if before.bias is None else before.bias + draft.bias
        readers[before.name] = readers[draft.name]
        renamed[draft.name] = before.name
        del drafts[draft.name]
    for draft in drafts.values():
        draft.inputs = tuple(renamed.get(name, name) for name in draft.inputs)
    return renamed


def _fold_bias(
    draft: Draft,
    drafts: MutableMapping[str, Draft],
    readers: Counter[str],
    renamed: dict[str, str],
) -> None:
    """Folds the addition of a constant for each feature into the linear layer before it."""
    for name, other in (draft.inputs, draft.inputs[::-1]):
        before, constant = drafts.get(name), drafts.get(other)
        if before is None or constant is None or constant.weight is None:
            continue
        if not isinstance(before.op, ir.Linear) or not isinstance(constant.op, ir.Constant):
            continue
        features = before.op.out_features
        shape = constant.weight.shape
        if readers[name] != 1 or shape != (*[1] * (len(shape) - 1), features):
            continue
        bias = constant.weight.reshape(-1).astype(np.float64)
        before.bias = bias if before.bias is None else before.bias + bias
        readers[name] = readers[draft.name]
        renamed[draft.name] = name
        del drafts[draft.name]
        return


def _has_channels(draft: Draft, shape: Shape) -> bool:
    """Whether a node scales and shifts along the first axis of what it yields."""
    if isinstance(draft.op, ir.Linear):
        return len(shape) == 1
    return isinstance(draft.op, ir.Conv2d | ir.ConvTranspose2d | ir.ChannelAffine)


def affine_of_batch_norm(
    scale: np.ndarray | None,
    shift: np.ndarray | None,
    mean: np.ndarray,
    variance: np.ndarray,
    epsilon: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift of each channel, in float64, of a batch norm as it evaluates."""
    factor = (1.0 if scale is None else scale.astype(np.float64)) / np.sqrt(
        variance.astype(np.float64) + epsilon
    )
    offset = 0.0 if shift is None else shift.astype(np.float64)
    return factor, offset - mean.astype(np.float64) * factor


__all__ = ["affine_of_batch_norm", "fold_affines"]
