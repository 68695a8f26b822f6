"""Codes the integer arrays of an ``.npz`` file by NNCodec's arithmetic coder (ISO/IEC 15938-17).

``codec_compare.py`` starts this script by an interpreter that has ``nncodec``; it prints JSON. The
coder is called below the package's headers, all arrays in one stream, which suits it best. For
each array the best of several unary lengths is taken, and context parameters are optimised.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version

import numpy as np
from nncodec.extensions import deepCABAC
from nncodec.nnc_core.hdsp.hdsp_tool import HDSP_OPTS_OFF

UNARY_LENGTHS = (1, 2, 3, 4, 5, 6, 8, 11)
PROFILE, DQ, SCAN, PARENT, CODEBOOK = 1, 0, 0, 0, (0, 0)


def encode(arrays: list[np.ndarray], unary: list[int], row_skip: int) -> np.ndarray:
    encoder = deepCABAC.Encoder()
    for array, length in zip(arrays, unary, strict=True):
        encoder.initCtxModels(length, 1)
        skipped = (~array.any(axis=tuple(range(1, array.ndim)))).astype(np.int32)
        encoder.encodeLayer(
            array, DQ, SCAN, PROFILE, PARENT, row_skip, skipped, *HDSP_OPTS_OFF(), *CODEBOOK
        )
    return encoder.finish()


def decode(data: np.ndarray, shapes: list[tuple[int, ...]], unary: list[int]) -> list[np.ndarray]:
    decoder = deepCABAC.Decoder()
    decoder.setStream(data)
    found = [np.zeros(shape, np.int32) for shape in shapes]
    for array, length in zip(found, unary, strict=True):
        decoder.initCtxModels(length)
        decoder.decodeLayer(array, DQ, SCAN, PROFILE, PARENT, *HDSP_OPTS_OFF(), *CODEBOOK)
    decoder.finish()
    return found


def main() -> None:
    seconds = float(sys.argv[2])
    with np.load(sys.argv[1]) as file:
        arrays = [np.ascontiguousarray(file[name]).astype(np.int32) for name in file.files]
    best = None
    for row_skip in (0, 1):
        unary = [min(UNARY_LENGTHS, key=lambda u: len(encode([a], [u], row_skip))) for a in arrays]
        data = encode(arrays, unary, row_skip)
        if best is None or len(data) < len(best[0]):
            best = (data, unary, row_skip)
    data, unary, row_skip = best
    shapes = [array.shape for array in arrays]
    found = decode(data, shapes, unary)
    if not all(np.array_equal(a, b) for a, b in zip(arrays, found, strict=True)):
        raise SystemExit("NNCodec did not return the integers that it was given")
    times = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.process_time()
        decode(data, shapes, unary)
        times.append(time.process_time() - start)
    facts = {
        "version": version("nncodec"),
        "bytes": len(data),
        "row_skip": row_skip,
        "unary": unary,
        "decode_s": min(times),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
