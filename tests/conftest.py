"""What several test files need: a small piece of the real MNIST, and quiet, repeatable libraries."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("MPLBACKEND", "agg")

import hypothesis
import pytest

from digitlab.data import Dataset, Split, load

# CI judges a change, so it tries the same examples each time; everybody else keeps looking for new ones.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")


@pytest.fixture(scope="session", autouse=True)
def _compiled_programs(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compile each program once a session; half of the engine tests' time otherwise."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


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
