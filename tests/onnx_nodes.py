"""ONNX's own node tests of the operators that lilnetx lists, and the table of their results.

``python tests/onnx_nodes.py -o benchmarks/results/onnx_nodes.csv`` writes the table.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

# By ONNX's names: layers with weights, arithmetic, what moves elements, pooling, activations,
# softmax, means, resizing.
OPERATORS = frozenset(
    [
        "Conv",
        "ConvTranspose",
        "Gemm",
        "MatMul",
        "BatchNormalization",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Sum",
        "Concat",
        "Split",
        "Slice",
        "Gather",
        "Pad",
        "Reshape",
        "Flatten",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Identity",
        "Dropout",
        "Shape",
        "MaxPool",
        "AveragePool",
        "GlobalMaxPool",
        "GlobalAveragePool",
        "Relu",
        "LeakyRelu",
        "Clip",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Swish",
        "Gelu",
        "Softmax",
        "ReduceMean",
        "ReduceSum",
        "ReduceMax",
        "ReduceMin",
        "Resize",
    ]
)
# Words of a refusal, and what they come down to in the table.
REASONS = {
    "no input is float32": "other types than float32",
    "expected float32": "other types than float32",
    "works on a constant": "other types than float32",
    "no output depends": "other types than float32",
    "axes and a value of": "images of three axes",
    "is empty": "empty or no tensors",
    "is no tensor": "empty or no tensors",
    "leaves nothing": "empty or no tensors",
    "empty part": "empty or no tensors",
    "cannot make": "empty or no tensors",
    "expected 13": "opset below 13",
    "training": "training mode",
    "statistics of the batch": "training mode",
    "indices": "indices: of maxima, or of more than one axis",
    "mode": "cubic, antialiased or cropping resizing",
}


def node_cases() -> list[Any]:
    """Test cases of a single node of a listed operator."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = load_model_tests(kind="node")
    return [case for case in cases if len(case.model.graph.node) == 1 and operator(case)]


def operator(case: Any) -> str:
    """The operator of a case, or "" where it is not listed."""
    node = case.model.graph.node[0]
    return node.op_type if node.op_type in OPERATORS and not node.domain else ""


def outcome(case: Any) -> str:
    """``"passed"``, ``"unsupported: reason"`` or ``"failed: reason"``."""
    from lilnetx.errors import UnsupportedOperatorError
    from lilnetx.onnx_backend import prepare

    try:
        for inputs, expected in case.data_sets:
            for a, e in zip(prepare(case.model).run(inputs), expected, strict=True):
                a, e = np.asarray(a), np.asarray(e)
                if a.shape != e.shape or a.dtype != e.dtype:
                    return f"failed: {a.dtype} {a.shape}, expected {e.dtype} {e.shape}"
                np.testing.assert_allclose(a, e, rtol=case.rtol, atol=max(case.atol, 1e-6))
    except UnsupportedOperatorError as error:
        reason = next((text for words, text in REASONS.items() if words in str(error)), None)
        return f"unsupported: {reason}" if reason else f"failed: {error}"
    except Exception as error:  # whatever it is, the table says it
        return f"failed: {type(error).__name__}: {error}"
    return "passed"


def table() -> list[dict[str, object]]:
    """One row for each operator: passed, unsupported and why, failed."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in sorted(OPERATORS)}
    for case in node_cases():
        counts[operator(case)][outcome(case)] += 1
    rows = []
    for name, found in counts.items():
        refused = {o.partition(": ")[2]: n for o, n in found.items() if o.startswith("unsup")}
        rows.append(
            {
                "operator": name,
                "passed": found["passed"],
                "unsupported": sum(refused.values()),
                "failed": sum(n for o, n in found.items() if o.startswith("failed")),
                "why": "; ".join(f"{reason}: {n}" for reason, n in sorted(refused.items())),
            }
        )
    return rows


def main() -> None:
    import onnx

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    path = parser.parse_args().output
    rows = table()
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    totals = [
        sum(int(str(row[key])) for row in rows) for key in ("passed", "unsupported", "failed")
    ]
    print(
        f"onnx {onnx.__version__}: passed {totals[0]}, unsupported {totals[1]}, failed {totals[2]}"
    )


if __name__ == "__main__":
    main()
