"""Networks from torch and through ONNX, compared with torch at two sizes and two batches.

``python tests/networks/imported.py --full -o benchmarks/results/imported.csv`` does so for the
networks in their full width, and writes one row for each comparison.
"""

from __future__ import annotations

import argparse
import csv
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

# Name, width in tests, input sizes.
NETWORKS = {
    "resnet18": (8, (64, 96)),
    "resnet50": (8, (64, 96)),
    "vgg16_bn": (2, (224, 448)),
    "mobilenet_v2": (8, (64, 96)),
    "densenet121": (8, (64, 96)),
    "squeezenet1_1": (16, (64, 96)),
    "googlenet": (16, (64, 96)),
    "unet": (4, (32, 48)),
    "ssd": (8, (64, 96)),
}
FULL_SIZES = {"unet": (128, 192), "ssd": (320, 416), "vgg16_bn": (224, 448)}
# torch's exporter cannot write adaptive pooling but for one size: one model for each.
ONE_SIZE = {"vgg16_bn"}
BATCHES = (1, 3)


def build(name: str, width: int | None) -> Any:
    """The network in eval mode, with batch norms as training leaves them: of other statistics."""
    import torch

    from lilnetx import networks

    torch.manual_seed(0)
    options = {} if width is None else {"width": width, "classes": 10}
    network = getattr(networks, name)(**options)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def as_onnx(network: Any, size: int, *, free: bool) -> Any:
    """The model that torch's own exporter writes, with a free batch and, if ``free``, sizes."""
    import onnx
    import torch

    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, size, size),),
            buffer,
            dynamo=False,
            input_names=["image"],
            dynamic_axes={"image": {0: "n", 2: "h", 3: "w"} if free else {0: "n"}},
            opset_version=17,
        )
    return onnx.load_from_string(buffer.getvalue())


def compared(name: str, *, full: bool = False) -> Iterator[dict[str, object]]:
    """One row for each way, size and batch: the largest error, and relative to the output."""
    import torch

    from lilnetx.graph.from_onnx import from_onnx
    from lilnetx.graph.from_torch import from_torch
    from lilnetx.runtime import Session

    width, sizes = NETWORKS[name]
    if full:
        width, sizes = None, FULL_SIZES.get(name, (224, 256))
    network = build(name, width)
    shape = (3, sizes[0], sizes[0])
    free = name not in ONE_SIZE
    graph = from_torch(network, shape, free_size=True)
    sessions = {"torch": Session(graph, threads=1, tune=False)}
    rng = np.random.default_rng(1)
    for size in sizes:
        if size == sizes[0] or not free:
            model = as_onnx(network, size, free=free)
            graph = from_onnx(model, input_shapes={"image": (3, size, size)})
            sessions["onnx"] = Session(graph, threads=1, tune=False)
        for batch in BATCHES:
            x = rng.standard_normal((batch, 3, size, size)).astype(np.float32)
            with torch.no_grad():
                expected = network(torch.from_numpy(x))
            expected = expected if isinstance(expected, tuple) else (expected,)
            for way, session in sessions.items():
                actual = session.run(x)
                actual = actual if isinstance(actual, tuple) else (actual,)
                pairs = [(a, e.numpy()) for a, e in zip(actual, expected, strict=True)]
                assert all(a.shape == e.shape for a, e in pairs)
                error = max(float(np.abs(a - e).max()) for a, e in pairs)
                relative = max(
                    float(np.abs(a - e).max() / max(np.abs(e).max(), 1e-30)) for a, e in pairs
                )
                yield {
                    "network": name,
                    "from": way,
                    "size": f"{size}x{size}",
                    "batch": batch,
                    "largest_error": f"{error:.2e}",
                    "relative_error": f"{relative:.2e}",
                }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="the original widths")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    rows = []
    for name in NETWORKS:
        rows += compared(name, full=args.full)
        print(name, max(str(row["relative_error"]) for row in rows if row["network"] == name))
    with args.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
