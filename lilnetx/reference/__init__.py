"""Slow, plain implementations that everything else is checked against."""

from __future__ import annotations

from lilnetx.reference.ops import run

__all__ = ["run"]
