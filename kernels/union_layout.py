"""The weights of form (b): for each block of filters a small dense matrix over its channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lilnetx.errors import InputError

from .gathered_slices import GatheredSlices
from .unions import FilterBlocks


@dataclass(frozen=True)
class UnionWeights:
    """Weights by blocks of filters, each over the union of its filters' channels.

    Attributes:
        block_ptr: int32, shape ``(blocks + 1,)``: where each block's channels begin, among those of
            all blocks, padded to multiples of ``channels_block``.
        run: int32, shape ``(block_ptr[-1] / run_length,)``: runs of input channels.
        weights: Dtype of activations: for each block ``(Kh * Kw, filters_block, its channels)``.
            Zeros stand where a filter has no slice, and where a block's channels are padded.
        order: int32, shape ``(blocks, filters_block)``: filters of each block, -1 for none.
        ordered: Whether block b holds filters ``b * filters_block`` and following.
        run_length: Channels of a run.
        filters_block: Filters of a block.
        channels_block: Channels that the kernel multiplies at once.
    """

    block_ptr: Tensor
    run: Tensor
    weights: Tensor
    order: Tensor
    ordered: bool
    run_length: int
    filters_block: int
    channels_block: int


def union_weights(
    slices: GatheredSlices, blocks: FilterBlocks, channels_block: int, dtype: torch.dtype
) -> UnionWeights:
    """Lays out the weights for the kernel of form (b).

    Args:
        slices: The layer's slices.
        blocks: Which filters and channels lie together, of :func:`~.unions.make_blocks`.
        channels_block: Channels that the kernel multiplies at once; a multiple of the run length.
        dtype: Of activations; weights are rounded to it.

    Returns:
        The weights, on the device of ``slices``.

    Raises:
        InputError: ``channels_block`` does not hold whole runs.
    """
    length = blocks.run_length
    if channels_block % length:
        raise InputError(f"blocks of {channels_block} channels do not hold runs of {length}")
    device = slices.values.device
    per_group = slices.in_channels // slices.groups
    taps = slices.kernel[0] * slices.kernel[1]
    dense = slices.dense_weight().cpu().reshape(slices.filters, per_group, taps).numpy()
    runs, matrices, ends = [], [], [0]
    for order, own in zip(blocks.order, blocks.runs, strict=True):
        missing = -len(own) % (channels_block // length)
        # Padding repeats a channel: what is multiplied by zero is then no further channel's NaN.
        padded = np.concatenate([own, np.repeat(own[-1:], missing)])
        first = (own.astype(np.int64) * length) % max(per_group, 1)
        channels = (first[:, None] + np.arange(length)).reshape(-1)
        matrix = np.zeros((taps, len(order), len(padded) * length), np.float32)
        there = order >= 0
        chosen = dense[order[there]][:, channels]
        matrix[:, there, : len(channels)] = chosen.transpose(2, 0, 1)
        runs.append(padded)
        matrices.append(matrix.reshape(-1))
        ends.append(ends[-1] + len(padded) * length)
    return UnionWeights(
        torch.tensor(ends, dtype=torch.int32, device=device),
        torch.from_numpy(np.concatenate([*runs, np.zeros(0, np.int32)])).to(device),
        torch.from_numpy(np.concatenate([*matrices, np.zeros(0, np.float32)])).to(device, dtype),
        torch.from_numpy(blocks.order).to(device),
        blocks.ordered,
        length,
        blocks.block,
        channels_block,
    )


__all__ = ["UnionWeights", "union_weights"]
