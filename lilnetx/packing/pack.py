"""A trained model into one ``.lnx`` file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lilnetx.graph.ir import Graph
from lilnetx.packing.freeze import freeze
from lilnetx.packing.side import SIDE_BITS

if TYPE_CHECKING:
    import torch


def pack(
    model: torch.nn.Module,
    path: str | os.PathLike[str],
    *,
    input_shape: tuple[int, ...],
    side_bits: int = SIDE_BITS,
    meta: Mapping[str, Any] | None = None,
) -> Graph:
    """Freezes a model and writes it; an existing file is replaced whole or not at all.

    Args:
        model: The trained model; left untouched.
        path: The ``.lnx`` file.
        input_shape: Input without the batch, ``(C, H, W)`` or ``(C,)``.
        side_bits: Significant bits of scales and biases; see :func:`.freeze.freeze`.
        meta: JSON-able facts to store with the network, for ``Session.classes`` and
            ``Session.normalisation``: ``{"classes": [...], "input": {"mean": [...], "std":
            [...]}}``, names by label, and numbers for each channel of images scaled to [0, 1].

    Returns:
        The graph that was written.

    Raises:
        PackError, InputError, UnsupportedOperatorError, MissingExtraError: As
            :func:`.freeze.freeze`.
        OutputError: The file could not be written.
    """
    from lilnetx.format import write_lnx

    graph = freeze(model, input_shape, side_bits=side_bits, meta=meta)
    write_lnx(graph, path)
    return graph


__all__ = ["pack"]
