#!/usr/bin/env python3
"""Bytes and decode rates of our coded latents beside NNCodec and general coders, same integers.

    benchmarks/codec_compare.py a.lnx b.lnx --nncodec-python VENV/bin/python \\
        --csv benchmarks/results/codec.csv --json benchmarks/results/codec.json

NNCodec needs an environment of its own (``pip install nncodec==2.1.3`` there); without
``--nncodec-python`` its columns stay empty. brotli and zstd come with the extra ``compare``.
Rates are latents by seconds of processor time of one thread, the best of many calls. ``order0`` is
the entropy of the integers with one table for each tap of each decoder, the tables for free.
"""

from __future__ import annotations

import argparse
import csv
import json
import lzma
import shlex
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import brotli
import numpy as np
import zstandard

from lilnetx import _core
from lilnetx.format import read_lnx
from lilnetx.format.container import Container, open_lnx
from lilnetx.format.latents import split_streams
from lilnetx.format.reader import read_skeleton
from lilnetx.graph.ir import LatentWeight
from lilnetx.machine import cpu_model

Arrays = list[np.ndarray]
SCRIPT = Path(__file__).with_name("nncodec_latents.py")


def order0(arrays: Arrays, groups: list[str]) -> float:
    """Bytes of the order-0 entropy, one table for each tap of each decoder."""
    bits = 0.0
    for group in dict.fromkeys(groups):
        members = [
            a.reshape(-1, a.shape[2]) for a, g in zip(arrays, groups, strict=True) if g == group
        ]
        for tap in np.concatenate(members).T:
            counts = np.unique(tap, return_counts=True)[1]
            bits -= (counts * np.log2(counts / counts.sum())).sum()
    return bits / 8


def general_coders(arrays: Arrays) -> dict[str, int]:
    """Bytes by coders of bytes, over all integers as int8 (int16 where they do not fit)."""
    joined = np.concatenate([a.reshape(-1) for a in arrays])
    narrow = np.int8 if np.abs(joined).max() < 128 else np.int16
    data = joined.astype(narrow).tobytes()
    return {
        "brotli": len(brotli.compress(data, quality=11, lgwin=24)),
        "xz": len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)),
        "zstd": len(zstandard.ZstdCompressor(level=19).compress(data)),
    }


def nncodec(python: str, arrays: Arrays, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "latents.npz")
        flat = {f"w{i:05}": a.reshape(a.shape[0], -1) for i, a in enumerate(arrays)}
        np.savez(path, **flat)
        command = [python, str(SCRIPT), str(path), str(seconds)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def decode_seconds(path: str, seconds: float) -> float:
    """Processor seconds of one thread to decode the file's latents into arrays of zeros."""
    with open_lnx(path) as file:
        container = Container(file, path)
        infos = [info for info in read_skeleton(container).weights.values() if not info.dense]
        section = container.section(b"LATS")
        streams = split_streams(section, len(infos), path, container.sections[b"LATS"].offset)
        models, nonzero = [i.decoder for i in infos], [i.nonzero for i in infos]
        best = float("inf")
        end = time.perf_counter() + seconds
        while best == float("inf") or time.perf_counter() < end:
            arrays = [np.zeros(info.shape, np.int32) for info in infos]
            start = time.process_time()
            found = _core.decode_latents(streams.coded, streams.sizes, arrays, models, nonzero, 1)
            best = min(best, time.process_time() - start)
            assert not any(found)
    return best


def compare(path: str, python: str | None, seconds: float) -> dict[str, Any]:
    weights = [n.weight for n in read_lnx(path).nodes if isinstance(n.weight, LatentWeight)]
    arrays = [w.latents for w in weights]
    with open_lnx(path) as file:
        ours = Container(file, path).sections[b"LATS"].length
    latents = sum(a.size for a in arrays)
    slices = sum(a.shape[0] * a.shape[1] for a in arrays)
    nonzero = sum(int(a.any(axis=2).sum()) for a in arrays)
    general = general_coders(arrays)
    entropy = order0(arrays, [w.decoder for w in weights])
    decode_s = decode_seconds(path, seconds)
    row: dict[str, Any] = {
        "file": Path(path).name,
        "latents": latents,
        "zero_slices": round(1 - nonzero / slices, 4),
        "ours": ours,
        "order0": round(entropy),
        **general,
        "nncodec": None,
        "of_order0": round(ours / entropy, 4),
        "of_best_general": round(ours / min(general.values()), 4),
        "of_nncodec": None,
        "ours_mlatents_s": round(latents / decode_s / 1e6, 1),
        "nncodec_mlatents_s": None,
        "rate_by_nncodec": None,
        "ours_decode_s": round(decode_s, 6),
    }
    if python:
        other = nncodec(python, arrays, seconds)
        row["nncodec"] = other["bytes"]
        row["of_nncodec"] = round(ours / other["bytes"], 4)
        row["nncodec_mlatents_s"] = round(latents / other["decode_s"] / 1e6, 1)
        row["rate_by_nncodec"] = round(other["decode_s"] / decode_s, 2)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="FILE.lnx")
    parser.add_argument("--nncodec-python", help="interpreter of an environment with nncodec")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each timing (default: 2)")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = [compare(path, args.nncodec_python, args.seconds) for path in args.files]
    for row in rows:
        print(", ".join(f"{key} {value}" for key, value in row.items()))
    if args.csv:
        with args.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    if args.json:
        command = ["benchmarks/codec_compare.py", *(Path(f).name for f in args.files)]
        command += ["--nncodec-python", "VENV/bin/python"] if args.nncodec_python else []
        facts = {"command": shlex.join(command), "cpu": cpu_model(), "rows": rows}
        args.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
