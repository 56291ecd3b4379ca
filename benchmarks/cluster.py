"""A Dask cluster on this machine beside this machine's own processes: seeds, pages, the cost of a piece, of a worker.

    uv run python benchmarks/cluster.py --seeds 8 --pages 2000 --repeats 1 --write

Scheduler and workers are processes here, one thread a worker, so scheduler and network cost what they cost a core that
also works. Both sides take turns, `--repeats` times; the quickest of each counts. From the pieces measured follows what
large jobs would take (docs/cluster.md has the model).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import results

sys.path.insert(0, str(Path(__file__).parents[1] / "making"))

from pages import page_of  # type: ignore[import-not-found]

from digitlab.data import load
from digitlab.machine import usable_cores
from digitlab.processes import Work
from digitlab.processes.worker import _echo as echo
from digitlab.reading.bulk import ReadOptions, read_files
from digitlab.reading.sent import read_files_at
from digitlab.runs.cluster import Cluster
from digitlab.runs.group_training import train_group
from digitlab.runs.parcels import pack

# For the model: bytes a second that a scheduler's network passes on.
NETWORK = 1e9 / 8


def main() -> None:
    """Measure, print, work out."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=8, help="of mlp-augmented; 0 leaves them out")
    parser.add_argument("--epochs", type=int, help="of each seed; the recipe's own unless given")
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--alone", type=int, default=300, help="pages for a single worker, for the scaling")
    parser.add_argument("--pieces", type=int, default=500, help="empty ones, for the cost of a piece")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="write the figures into RESULTS.md")
    options = parser.parse_args()
    cores = len(usable_cores())
    rows: list[list[str]] = []

    def show(*row: str) -> None:
        rows.append(list(row))
        print("  ".join(row), flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measured: dict[str, float] = {}
        with scheduler_and_workers(folder, 1) as alone:
            measured["overhead"] = seconds_per_empty_piece(alone, options.pieces)
            show("an empty piece", "", "", "", f"{1000 * measured['overhead']:.1f} ms each")
        files, size = generated_pages(folder / "pages", options.pages)
        measured["page_bytes"] = size / len(files)
        with scheduler_and_workers(folder, 1) as one, scheduler_and_workers(folder, cores) as all_cores:
            sides: dict[str, Callable[[], object]] = {
                "this machine": lambda: list(read_files(files, ReadOptions(workers=cores))),
                f"cluster, {cores} workers": lambda: list(read_files_at(all_cores, files)),
                # Takes twice as long a page, so it reads some of them.
                "cluster, 1 worker": lambda: list(read_files_at(one, files[: options.alone])),
            }
            best = in_turn(sides, options.repeats)
        here, there, single = best.values()
        counts = (len(files), len(files), len(files[: options.alone]))
        measured["page"] = single / counts[2]
        for (side, seconds), count in zip(best.items(), counts, strict=True):
            show(f"{count:,} pages", side, f"{seconds:.1f} s", f"{count / seconds:.1f} a second", "")
        show("", "cluster beside this machine", "", f"{here / there:.3f} of the pages a second", "at least 0.9 wanted")
        show("", f"1 to {cores} workers", "", f"{measured['page'] * len(files) / there:.2f} times", "")
        if options.seeds:
            seeds(options, cores, folder, measured, show)
    print("\n" + predictions(measured))
    if options.write:
        table = results.table(["what", "where", "time", "rate", ""], rows)
        load_words = f"load average {os.getloadavg()[0]:.1f} at the end"
        words = f"{results.provenance(load_words)}\n\n{table}\n\n{predictions(measured)}"
        results.write_section("cluster", "Past one machine: a Dask cluster", words)


def seeds(
    options: argparse.Namespace, cores: int, folder: Path, measured: dict[str, float], show: Callable[..., None]
) -> None:
    """Seeds of mlp-augmented, trained by processes of this machine and by workers."""
    fields = {} if options.epochs is None else {"epochs": options.epochs}
    runs: list[Any] = []

    def train(**where: Any) -> None:
        name = f"group{len(runs)}"
        runs.append(
            train_group("mlp-augmented", options.seeds, name=name, folder=folder / "runs", changes=fields, **where)
        )

    with scheduler_and_workers(folder, cores) as cluster:
        sides: dict[str, Callable[[], object]] = {
            "this machine": lambda: train(jobs=cores),
            f"cluster, {cores} workers": lambda: train(place=cluster),
        }
        best = in_turn(sides, options.repeats)
    here, there = best.values()
    same = all(
        np.array_equal(a.predictions["test_probabilities"], b.predictions["test_probabilities"])
        for a, b in zip(runs[0].runs, runs[1].runs, strict=True)
    )
    measured["seed"] = there * cores / options.seeds
    measured["seed_bytes"] = float(np.mean([len(pack(run.path)) for run in runs[1].runs]))
    what = f"{options.seeds} seeds of mlp-augmented, {runs[0].recipe.epochs} epochs"
    for side, seconds in best.items():
        show(what, side, f"{seconds:.1f} s", f"{seconds / options.seeds:.1f} s a seed", "")
    words = "the same numbers, bit for bit" if same else "NOT the same numbers"
    show(
        "",
        "cluster beside this machine",
        "",
        f"{100 * (there / here - 1):+.1f} % time",
        f"at most +5 % wanted; {words}",
    )


def in_turn(sides: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The quickest of `repeats` times for each side, in seconds; the sides take turns."""
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(repeats):
        for side, work in sides.items():
            begun = time.perf_counter()
            work()
            best[side] = min(best[side], time.perf_counter() - begun)
    return best


@contextlib.contextmanager
def scheduler_and_workers(folder: Path, count: int) -> Iterator[Cluster]:
    """A scheduler and workers of one thread each, as processes of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    python = [sys.executable, "-m"]
    commands = [
        [*python, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    ]
    worker = [*python, "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    commands += [[*worker, "--local-directory", str(folder)]] * count
    processes = [subprocess.Popen(command, stdout=-3, stderr=-3, start_new_session=True) for command in commands]
    try:
        with Cluster(address, wait=300) as cluster:
            while cluster.slots < count:
                time.sleep(0.2)
            yield cluster
    finally:
        for process in processes:
            process.kill()
            process.wait()


def seconds_per_empty_piece(cluster: Cluster, count: int) -> float:
    """What it costs to hand out a piece and take its answer, one after another."""
    work = Work(str, ("",), echo)
    for _ in range(2):  # the second time everything is imported
        begun = time.perf_counter()
        answers = list(cluster.map(work, [(b"",)] * count))
    return (time.perf_counter() - begun) / len(answers)


def generated_pages(folder: Path, count: int) -> tuple[list[Path], int]:
    """Pages of 1 to 40 test digits as photographs, as `benchmarks/reading.py` has them; their files and total bytes."""
    test = load().test
    folder.mkdir()
    files = []
    for seed in range(count):
        file = folder / f"{seed:05}.png"
        page_of(test.images, test.labels, seed).image.save(file)
        files.append(file)
    return files, sum(file.stat().st_size for file in files)


def predictions(measured: dict[str, float]) -> str:
    """What large jobs take by the model in docs/cluster.md, from the pieces that were measured."""
    jobs = {"10 million photos": (10_000_000, "page", 8)}
    if "seed" in measured:
        jobs["1,000 seeds of mlp-augmented"] = (1000, "seed", 1)
    rows = []
    for what, (count, kind, batch) in jobs.items():
        for cores in (2, 64, 1000):
            limits = {
                "cores": count * (measured[kind] + measured["overhead"] / batch) / cores,
                "network": count * measured[f"{kind}_bytes"] / NETWORK,
                "scheduler": count / batch * measured["overhead"],
            }
            limit = max(limits, key=lambda name: limits[name])
            rows.append([what, f"{cores:,}", f"{limits[limit] / 3600:.2f}", limit])
    head = (
        f"Measured pieces: {measured['page']:.3f} s and {measured['page_bytes'] / 1000:.0f} kB a page on one core, "
        f"{1000 * measured['overhead']:.1f} ms to hand out a piece"
    )
    if "seed" in measured:
        head += f", {measured['seed']:.1f} s and {measured['seed_bytes'] / 1e6:.1f} MB home a seed on one core"
    words = f"{head}. Predicted, at 1 Gbit/s at the scheduler:\n\n"
    return words + results.table(["job", "cores", "hours", "limited by"], rows)


if __name__ == "__main__":
    main()
