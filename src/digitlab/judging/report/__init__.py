"""The HTML report: one function, `render`, fills a template with what is known about a run."""

from digitlab.judging.report.content import ReportContent
from digitlab.judging.report.render import render

__all__ = ["ReportContent", "render"]
