"""What several test files need: a small piece of the real MNIST, and quiet, repeatable libraries."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

# Where the tests are started in the background, Ctrl-C is ignored, and the processes they start would ignore it too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The pages that tests read are made by what made the data of the shipped networks.
sys.path.insert(0, str(Path(__file__).parents[1] / "making"))

# Where Python may keep no bytecode, each process that the tests start spends 15 s compiling Keras and JAX anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("MPLBACKEND", "agg")
# Most of the tests' time went into optimising programs that then run for milliseconds; the engine's tests take half as
# long without. Processes that the tests start (see command.py) optimise as everybody's do.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

import hypothesis
import pytest

from digitlab.data import Dataset, Split, load

# CI judges a change, so it tries the same examples each time; everybody else keeps looking for new ones.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")


def pytest_configure(config: pytest.Config) -> None:
    """Leave out what is slow where nobody says what to run; `pytest -m slow` is the rest, which CI runs as well."""
    again = getattr(config.option, "lf", False)  # those that failed last time
    named = config.args_source is pytest.Config.ArgsSource.ARGS or config.option.keyword or again
    if not named and not config.option.markexpr:
        config.option.markexpr = "not slow"


@pytest.fixture(scope="session", autouse=True)
def _compiled_programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compile each program once a session, in this process and in those it starts.

    A folder for each worker: JAX does not write into it atomically, so two at once could read half a program.
    """
    import jax

    folder = str(tmp_path_factory.mktemp("compiled"))
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", folder)
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")
        yield


@pytest.fixture(scope="session")
def mnist() -> Dataset:
    return load()


@pytest.fixture(scope="session")
def small(mnist: Dataset) -> Dataset:
    """1,003 training images (so that no batch size divides them), 200 validation and 300 test images."""
    import dataclasses

    def first(split: Split, count: int) -> Split:
        return Split(split.images[:count], split.labels[:count])

    return dataclasses.replace(
        mnist,
        name="small MNIST",
        train=first(mnist.train, 1003),
        validation=first(mnist.validation, 200),
        test=first(mnist.test, 300),
        doubtful=frozenset(),
    )


@pytest.fixture(scope="session", autouse=True)
def _marks_of_these_tests_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Model files that tests name leave their marks in a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield
