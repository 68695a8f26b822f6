"""Lets tests import what they share (``cases``, ``tolerances``) by name."""
