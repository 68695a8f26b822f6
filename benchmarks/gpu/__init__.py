"""Measuring on a GPU, and predicting without one."""
