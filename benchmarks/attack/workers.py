"""What it costs to read in a worker instead of in the process itself: a stroke, and a page of digits.

    python benchmarks/attack/workers.py [--rounds 20] [--write]

Both take turns on the same bytes, one core each time; the quickest of the rounds is told, since other work on the
machine can only add time, and the median beside it.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from load import seven
from PIL import Image

from digitlab.data import load
from digitlab.processes import Pool
from digitlab.serving import answers, jobs


def page() -> bytes:
    """Six rows of ten test digits, dark on white, as a PNG."""
    images = load().test.images[:60].reshape(6, 10, 28, 28)
    digits = np.pad(images, ((0, 0), (0, 0), (8, 8), (8, 8))).transpose(0, 2, 1, 3).reshape(6 * 44, 10 * 44)
    file = io.BytesIO()
    Image.fromarray(255 - digits.repeat(2, 0).repeat(2, 1)).save(file, "PNG")
    return file.getvalue()


def main() -> None:
    """Measure in turns, print, and perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--write", action="store_true", help="write the figures into RESULTS.md")
    options = parser.parse_args()
    here, pool = jobs.open_reader(None), Pool(1, jobs.open_reader, (None,), nice=0)
    pool.start()
    rows, asked = [], answers.ReadingOptions()
    try:
        for what, content in (("a drawn digit", seven()), ("a page of 60 digits", page())):
            own: list[float] = []
            far: list[float] = []
            for _ in range(options.rounds + 1):
                begun = time.perf_counter()
                jobs.read(here, content, "a.png", asked)
                between = time.perf_counter()
                pool.submit(jobs.read, content, "a.png", asked).result()
                own.append(1000 * (between - begun))
                far.append(1000 * (time.perf_counter() - between))
            del own[0], far[0]
            pairs = [(min(times), statistics.median(times)) for times in (own, far)]
            rows.append([what, *(f"{value:.1f}" for pair in pairs for value in pair)])
            rows[-1].append(f"{pairs[1][0] - pairs[0][0]:.1f} ms, {100 * (pairs[1][0] / pairs[0][0] - 1):.1f} %")
    finally:
        pool.end()
    header = ["read", "here, ms", "median", "in a worker, ms", "median", "the worker's cost, by the quickest"]
    print(header, *rows, sep="\n")
    if options.write:
        sys.path.insert(0, str(Path(__file__).parents[1]))
        import results

        words = f"The quickest of {options.rounds} rounds in turns, and their median."
        words += f" Load of the machine: {os.getloadavg()[0]:.1f}."
        body = f"{results.table(header, rows)}\n\n{words}\n\n{results.provenance()}"
        results.write_section("attack-workers", "What reading in workers costs", body)


if __name__ == "__main__":
    main()
