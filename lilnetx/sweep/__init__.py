"""Sweeps: many training runs, shared by any number of processes, and the front of the best."""

from lilnetx.sweep.front import Outcome, pareto_front
from lilnetx.sweep.run import SweepPlan, run_sweep
from lilnetx.sweep.space import Space

__all__ = ["Outcome", "Space", "SweepPlan", "pareto_front", "run_sweep"]
