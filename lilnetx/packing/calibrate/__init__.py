"""Compression of given weights without training: integers chosen by what they do to outputs."""

from __future__ import annotations

from lilnetx.errors import MissingExtraError

try:
    import torch  # noqa: F401
except ImportError as error:
    raise MissingExtraError("torch", "train", "compression without training") from error

from lilnetx.packing.calibrate.compress import compress_trained
from lilnetx.packing.calibrate.images import Preprocessing, load_folder
from lilnetx.packing.calibrate.report import CalibrationReport, LayerReport

__all__ = [
    "CalibrationReport",
    "LayerReport",
    "Preprocessing",
    "compress_trained",
    "load_folder",
]
