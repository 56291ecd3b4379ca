"""Everything about a run: its folder, training, resuming, groups of seeds, and what can be done once it is finished."""

from __future__ import annotations

from digitlab.runs.folder import FORMAT, Run, history_csv, write_arrays, write_json
from digitlab.runs.lock import is_locked, locked
from digitlab.runs.register import check_free, check_name, create_run, damaged_runs, list_runs, open_run, runs_folder
from digitlab.runs.states import STATES

__all__ = [
    "FORMAT",
    "STATES",
    "Run",
    "check_free",
    "check_name",
    "create_run",
    "damaged_runs",
    "history_csv",
    "is_locked",
    "list_runs",
    "locked",
    "open_run",
    "runs_folder",
    "write_arrays",
    "write_json",
]
