"""The whole command, from process start to report on disk: `digitlab train` beside the same job as plain scripts.

    uv run python benchmarks/command.py --write
    uv run python benchmarks/command.py --recipes linear mlp tiny --write

Each peer trains 784-128-10 for 10 epochs on 60,000 images at batch 32, evaluates, draws the confusion matrix with
Seaborn and saves the model. digitlab does the same and the rest of a run: figures, report, ONNX; no calibration, as it
trains on all images here and has none for validation. The programs take turns, each after one run that is not counted,
so that all find their caches warm. Seconds are wall time; peak memory is sampled 20 times a second and added up over a
program's processes, each page that several share counted once. Also: `digitlab --help`.

With `--recipes` the whole command of these recipes alone, its programs compiled before, 5,000 validation images kept.
"""

from __future__ import annotations

import argparse
import json
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

from digitlab import in_words


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
    """MB of memory that a process and its children hold now; of a page that n processes share, each counts an nth."""
    total, waiting = 0.0, [pid]
    while waiting:
        one = waiting.pop()
        try:
            held = Path(f"/proc/{one}/smaps_rollup").read_text()
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except OSError:  # it ended while we looked
            continue
        total += sum(int(line.split()[1]) for line in held.splitlines() if line.startswith("Pss:")) / 1e3
    return total


def time_recipes(names: list[str], *, write: bool) -> None:
    """The whole command of each recipe, once, and what of it is training."""
    rows = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            place = {"DIGITLAB_RUNS": f"{folder}/runs", "XDG_CACHE_HOME": f"{folder}/cache"}
            train = [sys.executable, "-m", "digitlab", "train", name, "--quiet"]
            measure([*train, "--epochs", "1", "--name", "first"], place)
            seconds, memory = measure([*train, "--name", "whole"], place)
            run = json.loads(Path(folder, "runs", "whole", "run.json").read_text("utf-8"))
        epochs, training = run["recipe"]["epochs"], run["seconds"]["train"]
        rows.append([f"`{name}`", str(epochs), *map(in_words.duration, (seconds, training)), f"{memory:.0f}"])
        print(", ".join(rows[-1]), flush=True)
    body = results.table(["recipe", "epochs", "the whole command", "of it training", "MB, peak"], rows)
    print("\n" + body)
    if write:
        words = (
            "Once each, with nothing else running, from process start to everything on disk; a run of one epoch before "
        )
        words += f"it left its compiled programs. {results.provenance()}"
        results.write_section("command-recipes", "The whole command, recipe by recipe", f"{body}\n\n{words}")


def main() -> None:
    """Measure, print, and with --write keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=str(HERE / ".peers" / "bin" / "python"), help="Python that has the peers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recipes", nargs="+", help="time the command of these recipes instead")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.recipes:
        time_recipes(options.recipes, write=options.write)
        return
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
