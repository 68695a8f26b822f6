"""The CPU runtime: plan once, then run in C++."""

from lilnetx.runtime.isa import available_isas
from lilnetx.runtime.plan import Plan, PlanStep
from lilnetx.runtime.session import ProfileRow, Session, available_threads

__all__ = ["Plan", "PlanStep", "ProfileRow", "Session", "available_isas", "available_threads"]
