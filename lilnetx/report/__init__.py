"""One self-contained page about a ``.lnx`` file: sizes, slices, computation, times, the network."""

from lilnetx.report.facts import ReportFacts, gather
from lilnetx.report.measuring import Measurement, MeasureOptions, measure
from lilnetx.report.page import report_page

__all__ = ["MeasureOptions", "Measurement", "ReportFacts", "gather", "measure", "report_page"]
