"""Work in processes of their own: each piece with a deadline, all under a memory cap, a crash costing one piece.

A decoder can loop, fill the memory or crash on a file that somebody made for it, and nothing inside a process stops
that. So images from elsewhere are read in workers: they get plain values, answer with bytes, and are ended from
outside.
"""

from digitlab.processes.cores import bind_to_a_free_core
from digitlab.processes.pieces import Mapper, Work, map_in_processes
from digitlab.processes.plain import plain_loads
from digitlab.processes.pool import Pool
from digitlab.processes.start import Child, can_fork
from digitlab.processes.worker import MEMORY, SECONDS, Worker, WorkerError

__all__ = [
    "MEMORY",
    "SECONDS",
    "Child",
    "Mapper",
    "Pool",
    "Work",
    "Worker",
    "WorkerError",
    "bind_to_a_free_core",
    "can_fork",
    "map_in_processes",
    "plain_loads",
]
