"""The weights of a network as a safetensors file."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lilnetx.atomic import atomic_write
from lilnetx.errors import MissingExtraError
from lilnetx.graph.ir import Constant, DenseWeight, Graph, LatentWeight
from lilnetx.graph.weights import dense_weight


def unpack(
    source: str | os.PathLike[str] | Graph,
    out: str | os.PathLike[str],
    *,
    integers: bool = False,
) -> None:
    """Writes all weights of a network to a safetensors file.

    Tensors, by default:

    - ``<layer>.weight``: float32, ``(F, C/groups, Kh, Kw)`` or ``(out, in)``, as the runtime uses
      it: decoded, and multiplied by the scale that batch norm left;
    - ``<layer>.bias``: float32, ``(F,)``, where the layer has one;
    - ``<layer>.scale``: float32, ``(C,)``, of scales of channels that no layer took over;
    - ``<name>.value``: float32, of constants.

    With ``integers``:

    - ``<layer>.weight``: int32 latents ``(F, S, n)``, or the float32 weight of a layer that was
      left uncompressed (not scaled);
    - ``<layer>.scale``, ``<layer>.bias``: float32, ``(F,)``, where the layer has them;
    - ``decoder.<name>``: int32, ``(n, n)``. A slice decodes to ``latents @ matrix / 2**exponent``.

    The file's metadata holds, under the key ``lilnetx``, a JSON object: ``synthetic``, ``meta``,
    and with ``integers`` also ``decoders`` (layer to decoder name) and ``exponents`` (decoder name
    to exponent).

    Args:
        source: A ``.lnx`` file or a graph.
        out: The file to write, replaced whole or not at all.
        integers: Latents and decoders rather than weights.

    Raises:
        LnxFormatError: The source file is damaged.
        OutputError: ``out`` cannot be written.
        MissingExtraError: safetensors is not installed.
    """
    try:
        from safetensors.numpy import save
    except ImportError:
        raise MissingExtraError("safetensors", "export", "unpacking") from None
    if isinstance(source, Graph):
        graph = source
    else:
        from lilnetx.format import read_lnx

        graph = read_lnx(source)
    facts: dict[str, Any] = {"synthetic": graph.synthetic, "meta": dict(graph.meta)}
    if integers:
        tensors = _integer_tensors(graph)
        facts["exponents"] = {name: d.exponent for name, d in graph.decoders.items()}
        facts["decoders"] = {
            node.name: node.weight.decoder
            for node in graph.nodes
            if isinstance(node.weight, LatentWeight)
        }
    else:
        tensors = _float_tensors(graph)
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    data: bytes = save(contiguous, metadata={"lilnetx": json.dumps(facts)})
    with atomic_write(out) as file:
        file.write(data)


def _float_tensors(graph: Graph) -> dict[str, NDArray[Any]]:
    tensors: dict[str, NDArray[Any]] = {}
    for node in graph.nodes:
        if isinstance(node.op, Constant) and isinstance(node.weight, DenseWeight):
            tensors[f"{node.name}.value"] = node.weight.values
        elif node.weight is not None:
            tensors[f"{node.name}.weight"] = dense_weight(graph, node)
        elif node.scale is not None:
            tensors[f"{node.name}.scale"] = node.scale
        if node.bias is not None:
            tensors[f"{node.name}.bias"] = node.bias
    return tensors


def _integer_tensors(graph: Graph) -> dict[str, NDArray[Any]]:
    tensors: dict[str, NDArray[Any]] = {}
    for node in graph.nodes:
        if isinstance(node.weight, LatentWeight):
            tensors[f"{node.name}.weight"] = node.weight.latents
        elif node.weight is not None:
            tensors[f"{node.name}.weight"] = node.weight.values
        for what, values in (("scale", node.scale), ("bias", node.bias)):
            if values is not None:
                tensors[f"{node.name}.{what}"] = values
    for name, decoder in graph.decoders.items():
        tensors[f"decoder.{name}"] = decoder.matrix
    return tensors


__all__ = ["unpack"]
