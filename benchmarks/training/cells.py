"""The rows of ``trade_off.py``: each trains or codes one network and says what came of it."""

from __future__ import annotations

import dataclasses
import json
import lzma
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pruning import prune_and_tune

import lilnetx
from lilnetx.data import ImageDataset, normalise, spread, validation_split
from lilnetx.format import read_lnx, write_lnx
from lilnetx.graph.from_torch import import_model
from lilnetx.graph.ir import Conv2d, DenseWeight, Graph, LatentWeight
from lilnetx.graph.shapes import infer_shapes
from lilnetx.packing.trim import trim
from lilnetx.train import loop
from lilnetx.train.config import TrainConfig
from lilnetx.train.networks import build_network

NNCODEC = Path(__file__).with_name("nncodec_network.py")
BATCH = 500
TRIM_IMAGES = 2000  # as lilnetx pack --trim takes
Row = dict[str, Any]


def dense(config: TrainConfig, data: ImageDataset, folder: Path) -> Row:
    trained = loop.train(config, data, folder, progress=False)
    graph, _ = import_model(trained.model, data.facts.image_shape)
    return {
        **judge(graph, config, data),
        "bytes": float_bytes(graph),
        "setting": "float32",
        "epochs": config.epochs,
    }


def ours(config: TrainConfig, data: ImageDataset, folder: Path, trimmed: float) -> Row:
    trained = loop.train(config, data, folder, progress=False)
    path = folder / "model.lnx"
    if trimmed:
        trained_on, _ = validation_split(len(data.train_images), config.validation, config.seed)
        some = spread(trained_on[: config.train_images or None], TRIM_IMAGES)
        images = normalise(data.train_images[some], data.mean, data.std)
        trim(trained.model, torch.from_numpy(images), trimmed, seed=config.seed)
    lilnetx.pack(trained.model, path, input_shape=data.facts.image_shape)
    setting = f"rate {config.rate:g}"
    if config.target_macs:
        setting += f", {config.target_macs / 1e6:g} M MACs"
    else:
        setting += f", slices {config.slices:g}" if config.slices else ", no slices"
    setting += f", trimmed by {trimmed:g}" if trimmed else ""
    return {
        **judge(read_lnx(path), config, data),
        "bytes": path.stat().st_size,
        "setting": setting,
        "epochs": config.epochs,
    }


def pruned(config: TrainConfig, data: ImageDataset, folder: Path, *, sparsity: float) -> Row:
    """Magnitude pruning of slices, fine-tuning, int8 for each filter, xz."""
    model = prune_and_tune(config, data, folder, sparsity)
    graph, _ = import_model(model, data.facts.image_shape)
    nodes, stream = [], []
    for node in graph.nodes:
        if node.weight is not None:
            values = folded(node)
            step = np.abs(values).reshape(len(values), -1).max(1).clip(1e-12) / 127
            step = step.astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
            integers = np.rint(values / step).astype(np.int8)
            bias = None if node.bias is None else node.bias.astype(np.float16)
            stream += [integers.tobytes(), step.astype(np.float16).tobytes()]
            stream += [] if bias is None else [bias.tobytes()]
            coded = (integers * step.astype(np.float16).astype(np.float32)).astype(np.float32)
            node = dataclasses.replace(
                node,
                weight=DenseWeight(coded),
                scale=None,
                bias=None if bias is None else bias.astype(np.float32),
            )
        nodes.append(node)
    graph = dataclasses.replace(graph, nodes=tuple(nodes))
    size = len(lzma.compress(b"".join(stream), preset=9 | lzma.PRESET_EXTREME))
    told = {"bytes": size, "setting": f"{sparsity:.0%} of slices", "epochs": config.epochs}
    return {**judge(graph, config, data), **told}


def nncodec(config: TrainConfig, data: ImageDataset, folder: Path, python: str) -> list[Row]:
    """The dense network of ``folder`` by NNCodec at all its settings, one row each."""
    graph, _ = import_model(
        loop.train(config, data, folder, progress=False).model, data.facts.image_shape
    )
    arrays = {}
    for node in graph.nodes:
        if node.weight is not None:
            arrays[f"{node.name}.weight"] = folded(node)
            if node.bias is not None:
                arrays[f"{node.name}.bias"] = node.bias
    rows = []
    with tempfile.TemporaryDirectory() as name:
        source, out = Path(name) / "weights.npz", Path(name) / "out"
        np.savez(source, **arrays)
        argv = [python, str(NNCODEC), str(source), str(out)]
        done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
        for told in json.loads(done.stdout.splitlines()[-1])["rows"]:
            with np.load(out / told["file"]) as file:
                decoded = dict(file)
            nodes = tuple(with_arrays(node, decoded) for node in graph.nodes)
            row = judge(dataclasses.replace(graph, nodes=nodes), config, data)
            setting = f"qp {told['qp']}, non-weights {told['nonweight_qp']}"
            rows.append({**row, "bytes": told["bytes"], "setting": setting})
    return rows


def with_arrays(node: Any, arrays: dict[str, np.ndarray]) -> Any:
    if node.weight is None:
        return node
    weight = arrays[f"{node.name}.weight"].astype(np.float32)
    bias = arrays[f"{node.name}.bias"].astype(np.float32) if node.bias is not None else None
    return dataclasses.replace(node, weight=DenseWeight(weight), scale=None, bias=bias)


def folded(node: Any) -> np.ndarray:
    """A dense node's weight times its batch norm's scale, float32."""
    values = node.weight.values
    if node.scale is not None:
        values = values * node.scale.reshape(-1, *[1] * (values.ndim - 1))
    return np.ascontiguousarray(values, np.float32)


def float_bytes(graph: Graph) -> int:
    sizes = [
        folded(n).size + (0 if n.bias is None else n.bias.size) for n in graph.nodes if n.weight
    ]
    return 4 * sum(sizes)


def judge(graph: Graph, config: TrainConfig, data: ImageDataset) -> Row:
    """Accuracies by the C++ runtime, zero slices and multiply-accumulates left."""
    _, held_out = validation_split(len(data.train_images), config.validation, config.seed)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "model.lnx"
        write_lnx(graph, path)
        session = lilnetx.Session(path, threads=1)
        sets = {
            "validation": (data.train_images[held_out], data.train_labels[held_out]),
            "test": (data.test_images, data.test_labels),
        }
        row: Row = {f"{name}_top1": accuracy(session, data, *s) for name, s in sets.items()}
    zero, slices, left, macs = count(graph)
    return {**row, "zero_3x3": zero / max(slices, 1), "macs_left": left / macs}


def accuracy(session: Any, data: ImageDataset, images: np.ndarray, labels: np.ndarray) -> float:
    right = 0
    for first in range(0, len(images), BATCH):
        batch = normalise(images[first : first + BATCH], data.mean, data.std)
        right += int((session.run(batch).argmax(1) == labels[first : first + BATCH]).sum())
    return right / len(images)


def dense_macs(config: TrainConfig, data: ImageDataset) -> int:
    """Multiply-accumulates of the dense network, one image."""
    facts = data.facts
    model = build_network(config.network, facts.image_shape[0], len(facts.classes), config.width)
    return count(import_model(model, data.facts.image_shape)[0])[3]


def count(graph: Graph) -> tuple[int, int, int, int]:
    """Zero and all KxK slices; multiply-accumulates left and of the dense network, one image."""
    shapes = infer_shapes(graph)
    zero = slices = left = macs = 0
    for node in graph.nodes:
        if node.weight is None:
            continue
        values = node.weight.latents if isinstance(node.weight, LatentWeight) else None
        if values is None:
            values = node.weight.values
            kxk = values.ndim == 4 and values.shape[2:] != (1, 1)
            values = values.reshape(*values.shape[:2], -1)
        else:
            kxk = isinstance(node.op, Conv2d) and tuple(node.op.kernel) != (1, 1)
        kept = values.any(axis=2)
        area = int(np.prod(shapes[node.name][1:]))
        left += int(kept.sum()) * values.shape[2] * area
        macs += kept.size * values.shape[2] * area
        if kxk:
            zero += int((~kept).sum())
            slices += kept.size
    return zero, slices, left, macs


torch.set_num_threads(1)
