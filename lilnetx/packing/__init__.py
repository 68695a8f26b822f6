"""From a trained model to a ``.lnx`` file, and back to plain weights."""

from __future__ import annotations

from lilnetx.packing.freeze import freeze
from lilnetx.packing.pack import pack
from lilnetx.packing.synth import synth
from lilnetx.packing.unpack import unpack

__all__ = ["freeze", "pack", "synth", "unpack"]
