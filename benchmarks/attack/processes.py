"""Real commands killed at random moments: each is given again until it ends, and must end as if nothing had happened.

    nice python benchmarks/attack/processes.py [--count 60] [--seconds 1500] [--seed 1] [--write]

Three commands take turns: `train mlp`, `train cnn`, and `train linear --seeds 3 --jobs 2`, on a thousand images. Each
victim is killed (SIGKILL to all its processes) at a random moment of its life, resumed, killed again, up to KILLS
times, and then left alone. Its weights, history (but for the seconds) and predictions must be those of a run that
nobody disturbed, bit for bit.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from workplace import workplace

from digitlab.data import Split, load
from digitlab.processes.inside import end_with_parent
from digitlab.runs.folder import Run

KILLS = 5
COMMON = ["--validation", "100", "--quiet"]


class Job(NamedTuple):
    """A command, and how it is given again."""

    what: str
    options: tuple[str, ...]
    is_group: bool


JOBS = (
    Job("train mlp", ("mlp", "--epochs", "12", "--dropout", "0.3", "--batch-norm", "--batch-size", "8"), False),
    Job("train cnn", ("cnn", "--epochs", "2"), False),
    Job("train linear --seeds 3 --jobs 2", ("linear", "--epochs", "6", "--seeds", "3", "--jobs", "2"), True),
)


def start(folder: Path, job: Job, name: str) -> subprocess.Popen[str]:
    """The command, or its resumption where there is a run already."""
    again = not job.is_group and (folder / name / "run.json").exists()
    options = ["--resume", name, "--quiet"] if again else [*job.options, *COMMON, "--name", name]
    if not again:
        options += ["--data", str(folder / "small.npz")]
    command = [sys.executable, "-P", "-m", "digitlab", "train", *options]
    own = {**os.environ, "DIGITLAB_RUNS": str(folder), "NO_COLOR": "1", "XDG_STATE_HOME": str(folder / "state")}
    own["JAX_COMPILATION_CACHE_DIR"] = str(folder / "compiled")
    return subprocess.Popen(
        command,
        env=own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=end_with_parent,
    )


def finish(process: subprocess.Popen[str], seconds: float = 900) -> str:
    """Wait for its end; its last line where it failed, "" where it did not."""
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        end(process)
        return f"not done in {seconds:g} s"
    return "" if process.returncode == 0 else (said.strip().splitlines() or ["no word"])[-1][:200]


def end(process: subprocess.Popen[str]) -> None:
    """Kill it and what it started in its session; those in sessions of their own end with it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stderr is not None:
        process.stderr.close()


def result(folder: Path, job: Job, name: str) -> dict[str, bytes]:
    """What must be equal, by name."""
    names = [f"{name}-seed{seed}" for seed in range(3)] if job.is_group else [name]
    found: dict[str, bytes] = {}
    for number, one in enumerate(names):
        run = Run(folder / one)
        with np.load(run.path / "predictions.npz", allow_pickle=False) as arrays:
            found[f"predictions {number}"] = b"".join(arrays[key].tobytes() for key in sorted(arrays.files))
        lines = (run.path / "history.csv").read_text("utf-8").splitlines()
        found[f"history {number}"] = "\n".join(line.rpartition(",")[0] for line in lines).encode()
        found[f"weights {number}"] = (run.path / "model.onnx").read_bytes()
        left = [str(path) for path in run.path.rglob(".*.tmp*")] + [str(path) for path in run.path.glob("checkpoint*")]
        found[f"left over {number}"] = " ".join(left).encode()
    return found


def campaign(folder: Path, count: int, seconds: float, chance: random.Random) -> tuple[collections.Counter[str], ...]:
    """Kill until count or seconds are over: kills, victims that ended, and those that did not end as they should."""
    data = load()
    train, test = (Split(part.images[:n], part.labels[:n]) for part, n in ((data.train, 1003), (data.test, 300)))
    file = folder / "small.npz"
    np.savez(file, x_train=train.images, y_train=train.labels, x_test=test.images, y_test=test.labels)
    wanted, lives = {}, {}
    for number, job in enumerate(JOBS):
        begun = time.monotonic()
        if trouble := finish(start(folder, job, f"whole{number}")):
            raise SystemExit(f"{job.what}, left alone: {trouble}")
        lives[job], wanted[job] = time.monotonic() - begun, result(folder, job, f"whole{number}")
    kills: collections.Counter[str] = collections.Counter()
    ended: collections.Counter[str] = collections.Counter()
    bad: collections.Counter[str] = collections.Counter()
    end_of_it, victim = time.monotonic() + seconds, 0
    while kills.total() < count and time.monotonic() < end_of_it:
        job, name, before = JOBS[victim % len(JOBS)], f"victim{victim}", kills.total()
        victim += 1
        for _ in range(KILLS):
            process, begun = start(folder, job, name), time.monotonic()
            moment = begun + chance.random() * lives[job]
            while process.poll() is None and time.monotonic() < moment:
                time.sleep(0.005)
            if process.poll() is not None:
                lives[job] = min(lives[job], time.monotonic() - begun)  # it was quicker than any before
                break
            end(process)
            kills[job.what] += 1
        else:
            process = start(folder, job, name)
        trouble = finish(process)
        if trouble and "finished already" not in trouble:
            print(f"{job.what}, {name}, {kills.total() - before} kills: {trouble}", flush=True)
            bad[job.what] += 1
            continue
        ended[job.what] += 1
        differ = [key for key, value in result(folder, job, name).items() if value != wanted[job][key]]
        if differ:
            print(f"{job.what}, {name}, {kills.total() - before} kills: differs: {', '.join(differ)}", flush=True)
            bad[job.what] += 1
    return kills, ended, bad


def main() -> None:
    """Kill, print, and perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write the figures into RESULTS.md")
    options = parser.parse_args()
    with workplace() as folder:
        kills, ended, bad = campaign(folder, options.count, options.seconds, random.Random(options.seed))
    rows = [[job.what, str(kills[job.what]), str(ended[job.what]), str(bad[job.what])] for job in JOBS]
    header = ["command", "kills", "victims that ended", "not as it should be"]
    print(header, *rows, sep="\n")
    if options.write and not bad:
        sys.path.insert(0, str(Path(__file__).parents[1]))
        import results

        words = f"{kills.total()} kills at random moments, up to {KILLS} of one victim; 60 were wanted."
        words += f" Load of the machine: {os.getloadavg()[0]:.1f}."
        body = f"{results.table(header, rows)}\n\n{words}\n\n{results.provenance()}"
        results.write_section("attack-processes", "Attack: real commands killed at random moments", body)
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
