"""Codes a network's float arrays (an ``.npz`` file) by NNCodec at several settings.

    VENV/bin/python benchmarks/training/nncodec_network.py weights.npz FOLDER

``trade_off.py`` starts this by an interpreter that has ``nncodec``. Weights have at least two
dimensions, everything else is coded as "non-weight" parameters, more finely. For each setting the
decoded arrays go to ``FOLDER/NUMBER.npz``; standard output has a JSON list of settings and bytes.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from importlib.metadata import version
from pathlib import Path

import nncodec.nn as nnc
import numpy as np

QPS = (-32, -28, -26, -24, -22, -20, -18, -16, -14, -12)
NONWEIGHT_QPS = (-75, -40)


def main() -> None:
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with np.load(source) as file:
        arrays = {name: file[name].astype(np.float32) for name in file.files}
    rows = []
    for number, (qp, other) in enumerate(itertools.product(QPS, NONWEIGHT_QPS)):
        # Dependent quantisation, optimised coder parameters and skipped zero rows, as it advises.
        settings = {"qp": qp, "nonweight_qp": other, "use_dq": True, "opt_qp": False}
        with contextlib.redirect_stdout(sys.stderr):
            stream = nnc.encode(
                dict(arrays), {**settings, "verbose": False, "results": str(folder)}
            )
            decoded = nnc.decode(stream)
        np.savez(folder / f"{number}.npz", **{k: np.asarray(v) for k, v in decoded.items()})
        rows.append({**settings, "bytes": len(stream), "file": f"{number}.npz"})
    print(json.dumps({"version": version("nncodec"), "rows": rows}))


if __name__ == "__main__":
    main()
