"""Own digits: the printed sheet, cutting it from a photo, known pages, corrections, and where each image came from.

Example:
    >>> import tempfile
    >>> from digitlab.collecting import write_sheet
    >>> write_sheet(f"{tempfile.mkdtemp()}/sheet.pdf").suffix
    '.pdf'
"""

from __future__ import annotations

from digitlab.collecting.collection import Collection
from digitlab.collecting.gathering import collect_page, collect_sheet
from digitlab.collecting.printed_sheet import write_sheet

__all__ = ["Collection", "collect_page", "collect_sheet", "write_sheet"]
