"""Compression of given weights without training: integers chosen by what they do to outputs."""

from __future__ import annotations

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
