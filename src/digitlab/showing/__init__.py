"""The HTML pages: `render` fills a template with what is known about a run, `render_runs` with many runs."""

from digitlab.showing.report_content import ReportContent
from digitlab.showing.run_page import render
from digitlab.showing.runs_page import RunRow, render_runs

__all__ = ["ReportContent", "RunRow", "render", "render_runs"]
