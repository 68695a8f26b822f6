"""Benchmarks: check a ``.lnx`` file's output, then time it beside dense engines."""

from lilnetx.bench.run import BenchmarkOptions, Report, run_benchmark

__all__ = ["BenchmarkOptions", "Report", "run_benchmark"]
