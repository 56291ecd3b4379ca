"""SIGTERM: one line and gone within seconds, also in the middle of a call that never looks up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no such signal")

CODE = """
import hashlib, sys, time
from digitlab.cli.termination import Terminated, ends_on_sigterm
try:
    with ends_on_sigterm(lambda: "stopped; 3 of 9 epochs are kept"):
        print("ready", flush=True)
        {}
except Terminated:
    print("heard", file=sys.stderr)
    time.sleep({})
    sys.exit(143)
"""


def ended(work: str, rest: float = 0) -> tuple[int, str, float]:
    """Exit code, what stands on stderr, and the processor seconds of all its life; it has ten minutes to end."""
    import resource

    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = spent()
    command = [sys.executable, "-c", CODE.format(work, rest)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        err = process.communicate(timeout=600)[1]  # a busy machine may stretch the seconds on the clock
    return process.returncode, err, spent() - before


def test_who_hears_it_says_its_own_line() -> None:
    assert ended("time.sleep(1000)")[:2] == (143, "heard\n")


def test_who_hears_it_and_hangs_on_the_way_out_is_ended() -> None:
    assert ended("time.sleep(1000)", rest=1000)[:2] == (143, "heard\n")  # after 2 s, not after 1,000


def test_a_call_that_never_looks_up_is_ended_with_a_line() -> None:
    for _ in range(10):
        code, err, seconds = ended("hashlib.pbkdf2_hmac('sha256', b'', b'', 2 * 10**9)")  # some twenty minutes
        if err != "heard\n":  # the signal came before the call had begun
            break
    assert (code, err) == (143, "digitlab: stopped; 3 of 9 epochs are kept\n") and seconds < 30  # 3
