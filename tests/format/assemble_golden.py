"""Puts golden_v3.lnx together from the text of SPEC.md: no writer, no C++ coder.

Run as a script, it writes the file anew; a change of its bytes is a new version of the format.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from files import assemble, varint

from lilnetx.graph.ir import (
    Add,
    AvgPool2d,
    Conv2d,
    Decoder,
    DenseWeight,
    Flatten,
    GlobalAvgPool,
    Graph,
    LatentWeight,
    Linear,
    MaxPool2d,
    Node,
    Relu,
    Softmax,
)
from lilnetx.reference import codec, side_codec

PATH = Path(__file__).parent / "data" / "golden_v3.lnx"

MATRIX_3X3 = np.array(
    [[100 if row == column else (row - column) * 3 for column in range(9)] for row in range(9)],
    np.int32,
)
MATRIX_1X1 = np.array([[64, -1], [0, 32767]], np.int32)

# 4 filters of 2 channels; filter 1 is dead.
LATENTS_A = np.zeros((4, 2, 9), np.int32)
LATENTS_A[0, 0] = [1, 0, 0, -1, 2, 0, 0, 0, 0]
LATENTS_A[2, 1] = [0, 0, 0, 0, 0, 0, 0, 0, -3]
LATENTS_A[3, 0] = [0, 1, 0, 0, 32767, 0, 0, -17, 0]
# A depthwise convolution of 4 channels with kernels of 3x1, not compressed.
DENSE_B = np.array([0.5, -1.0, 0.0, 0, 0, 0, 1.5, 2.5, -0.25, 0, 1, 0], np.float32)
# 3 outputs of 4 inputs in slices of 2.
LATENTS_C = np.array([[[1, 0], [0, 0]], [[-1, 1], [5, 0]], [[0, 0], [0, 40]]], np.int32)

SCALE_A = np.array([3 / 4096, 0.0, -1280.0, 3.0], np.float32)
BIAS_A = np.array([0.1, 0.2, -0.3, np.inf], np.float32)  # no fixed point
BIAS_C = np.array([0.0, 1024.0, -3072.0], np.float32)  # 2**10 times 0, 1, -3


def golden_bytes() -> bytes:
    """The whole file."""
    grph = b"".join(
        [
            b"\x02",  # two decoders
            b"\x033x3" + b"\x09" + b"\x18",  # n = 9, exponent 12
            b"\x051x1g2" + b"\x02" + b"\x05",  # n = 2, exponent -3
            b"\x05image" + b"\x03\x02\x06\x05",  # input of shape (2, 6, 5)
            b"\x0a",  # ten nodes
            # 1: convolution, latent weight, scale and bias; square kernel, padding
            b"\xd0" + b"\x07stem.\xc3\xa4" + b"\x01" + b"\x05\x02\x04\x03\x01\x01" + b"\x00\x03",
            b"\x06" + b"\x02r1" + b"\x01",  # 2: ReLU
            # 3: depthwise convolution, dense weight; padding and groups; kernel 3x1
            b"\x20" + b"\x02\x03dep" + b"\x01" + b"\x14\x04\x04\x03\x01\x01\x00\x04" + b"\x03",
            b"\x07" + b"\x03add" + b"\x01\x02",  # 4: values 3 and 2
            b"\x02" + b"\x03max" + b"\x01" + b"\x01\x02\x02\x02\x02\x00\x01",  # 5: ceil mode
            b"\x03" + b"\x03avg" + b"\x01" + b"\x02\x03\x02\x01\x01\x01\x00",  # 6: padding counts
            b"\x04" + b"\x03gap" + b"\x01",  # 7: global average
            b"\x05" + b"\x03fla" + b"\x01",  # 8: flatten
            # 9: linear, latent weight with decoder 1, bias
            b"\x91" + b"\x02fc" + b"\x01" + b"\x04\x03" + b"\x01\x04",
            b"\x08" + b"\x04soft" + b"\x01",  # 10: softmax
            b"\x02" + b"\x00\x01",  # outputs: values 10 and 9
        ]
    )
    deco = side_codec.encode_ints(
        [MATRIX_3X3.reshape(-1), MATRIX_1X1.reshape(-1)], [2, 2], [None, None]
    )
    live_a = np.array([1, 0, 1, 1], np.uint8)
    live_c = np.array([1, 1, 1], np.uint8)
    # Scale: short floats of 2 bits of mantissa, the upper bits of 3 / 4096, 0, 1280 and 3.
    scale = np.array([0x3A400000 >> 21, 0, -(0x44A00000 >> 21), 0x40400000 >> 21], np.int32)
    bias = np.array([0, 1, -3], np.int32)
    # Modes: of the scale 256 + 2; of the biases raw, and an exponent of -10.
    modes = side_codec.encode_ints([np.array([258]), np.array([0, 95])], [3, 3], [None, None])
    stream = side_codec.encode_ints([scale, bias], [0, 1], [live_a, live_c])
    side = varint(len(modes)) + modes + varint(len(stream)) + stream + struct.pack("<4f", *BIAS_A)
    stream, counts = codec.encode_latents([LATENTS_A, LATENTS_C], [0, 1])
    assert counts == [3, 4]
    lats = b"\x01" + b"\x02" + varint(len(stream)) + stream
    return assemble(
        [
            (b"GRPH", grph),
            (b"DECO", deco),
            (b"SIDE", side),
            (b"LATS", lats),
            (b"RAWF", struct.pack("<12f", *DENSE_B)),
            (b"META", '{"names":["ä"]}'.encode()),
        ],
        flags=1,
    )


def golden_graph() -> Graph:
    """What the file means."""
    nodes = (
        Node(
            "stem.ä",
            Conv2d(2, 4, (3, 3), padding=(1, 1)),
            ("image",),
            LatentWeight(LATENTS_A, "3x3"),
            SCALE_A,
            BIAS_A,
        ),
        Node("r1", Relu(), ("stem.ä",)),
        Node(
            "stdep",
            Conv2d(4, 4, (3, 1), padding=(1, 0), groups=4),
            ("r1",),
            DenseWeight(DENSE_B.reshape(4, 1, 3, 1)),
        ),
        Node("add", Add(), ("stdep", "r1")),
        Node("max", MaxPool2d((2, 2), (2, 2), (0, 1), True), ("add",)),
        Node("avg", AvgPool2d((3, 2), (1, 1), (1, 0), False, True), ("max",)),
        Node("gap", GlobalAvgPool(), ("avg",)),
        Node("fla", Flatten(), ("gap",)),
        Node("fc", Linear(4, 3), ("fla",), LatentWeight(LATENTS_C, "1x1g2"), None, BIAS_C),
        Node("soft", Softmax(), ("fc",)),
    )
    decoders = {"3x3": Decoder("3x3", MATRIX_3X3, 12), "1x1g2": Decoder("1x1g2", MATRIX_1X1, -3)}
    return Graph("image", (2, 6, 5), nodes, ("soft", "fc"), decoders, True, {"names": ["ä"]})


if __name__ == "__main__":
    PATH.write_bytes(golden_bytes())
