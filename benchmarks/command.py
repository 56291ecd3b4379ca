"""The whole command, from process start to report on disk: `digitlab train` beside the same job as plain scripts.

    uv run python benchmarks/command.py --write

Each peer trains 784-128-10 for 10 epochs on 60,000 images at batch 32, evaluates, draws the confusion matrix with
Seaborn and saves the model. digitlab does the same and the rest of a run: figures, report, ONNX; no calibration, as it
trains on all images here and has none for validation. The programs take turns, each after one run that is not counted,
so that all find their caches warm. Seconds are wall time; peak memory is sampled 20 times a second and added up over a
program's processes. Also: `digitlab --help`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import results
from epoch import HERE, peers, write_npz


def measure(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds of wall time and MB of peak memory of a command, its processes added up."""
    started = time.perf_counter()
    with subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL) as process:
        peak = 0.0
        done = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.wait(0.05):
                peak = max(peak, _resident(process.pid))

        thread = threading.Thread(target=watch)
        thread.start()
        code = process.wait()
        seconds = time.perf_counter() - started
        done.set()
        thread.join()
    if code:
        raise SystemExit(f"{command}: exit code {code}")
    return seconds, peak


def _resident(pid: int) -> float:
    """MB of memory that a process and its children hold now (pages they share are counted once for each)."""
    total, waiting = 0.0, [pid]
    while waiting:
        one = waiting.pop()
        try:
            status = Path(f"/proc/{one}/status").read_text()
            waiting += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except OSError:  # it ended while we looked
            continue
        total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1e3
    return total


def main() -> None:
    """Measure, print, and with --write keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=str(HERE / ".peers" / "bin" / "python"), help="Python that has the peers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    digitlab = [sys.executable, "-m", "digitlab"]
    train = [*digitlab, "train", "--quiet", "--validation", "0"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = {"DIGITLAB_RUNS": str(folder / "runs"), "XDG_CACHE_HOME": str(folder / "cache")}
        scripts = peers(options.peers, write_npz(folder), "--epochs", "10", "--whole", str(folder))
        programs = {
            "digitlab train": (train, ours),
            **{
                f"{name}, script with heat map": (
                    command,
                    {"JAX_COMPILATION_CACHE_DIR": str(folder / "peers"), **given},
                )
                for name, (command, given) in scripts.items()
            },
        }
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
        first = measure(train, ours)  # nothing compiled yet
        print(f"digitlab train, first run on a machine: {first[0]:.2f} s, {first[1]:.0f} MB", flush=True)
        for name, program in programs.items():
            if program[0] is not train:
                print(f"{name}, first run: {measure(*program)[0]:.2f} s", flush=True)
        for number in range(options.rounds):
            for name, program in programs.items():
                measured[name].append(measure(*program))
                seconds, memory = measured[name][-1]
                print(f"round {number + 1}, {name}: {seconds:.2f} s, {memory:.0f} MB", flush=True)
        helps = [measure([*digitlab, "--help"], {})[0] for _ in range(5)]
    medians = {name: statistics.median(s for s, _ in values) for name, values in measured.items()}
    rows = [
        [
            name,
            f"{medians[name]:.1f}",
            f"{min(s for s, _ in values):.1f} to {max(s for s, _ in values):.1f}",
            f"{medians['digitlab train'] / medians[name]:.2f}",
            f"{max(m for _, m in values):.0f}",
        ]
        for name, values in measured.items()
    ]
    rows.insert(1, ["digitlab train, nothing compiled before", f"{first[0]:.1f}", "one run", "", f"{first[1]:.0f}"])
    body = results.table(["program", "seconds, median", "range", "digitlab's share of it", "MB, peak"], rows)
    body += f"\n\n`digitlab --help`: {statistics.median(helps):.2f} s, median of {len(helps)}."
    print("\n" + body)
    if options.write:
        results.write_section(
            "command",
            "The whole command: 10 epochs, from process start to everything on disk",
            f"{body}\n\nMedians of {options.rounds} runs each, in turn. {results.provenance()}",
        )


if __name__ == "__main__":
    main()
