"""The HTML pages: `render` fills a template with what is known about a run, `render_runs` with many runs."""

from digitlab.judging.report.content import ReportContent
from digitlab.judging.report.render import render
from digitlab.judging.report.runs_page import RunRow, render_runs

__all__ = ["ReportContent", "RunRow", "render", "render_runs"]
