"""From a recipe to a finished run: data -> engine -> judging -> run. The only place that knows the order."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digitlab import runs
from digitlab.data import Dataset, load
from digitlab.errors import DataError, RecipeError, RunError
from digitlab.files import write_atomically
from digitlab.learning.recipe import RECIPES, Recipe
from digitlab.learning.recipe import recipe as make_recipe
from digitlab.machine import machine, versions

if TYPE_CHECKING:
    from digitlab.drawing import Drawer
    from digitlab.judging import Comparison, Evaluation
    from digitlab.judging.figures import FigureContent
    from digitlab.judging.report import ReportContent
    from digitlab.judging.robustness import Robustness
    from digitlab.learning.engine import Progress
    from digitlab.learning.state import TrainState


class Watcher:
    """What `train` tells while it works; this one keeps silent, the command line's draws a progress bar."""

    def started(self, run: runs.Run, data: Dataset, model: Any, state: TrainState | None) -> None:
        """The run folder is made and the model is built; `state` is what it goes on from."""

    def progress(self, progress: Progress) -> None:
        """Several times a second within an epoch."""

    def epoch(self, state: TrainState, epochs: int) -> None:
        """An epoch is done and its checkpoint kept."""

    def stage(self, name: str) -> None:
        """A new stage begins: "data", "build", "train", "judge", "save", "draw"."""


class Stopwatch:
    """Seconds by stage. `started` is a `time.perf_counter()` value: where the first stage, "start", began."""

    def __init__(self, started: float | None = None) -> None:
        self._started = self._last = time.perf_counter() if started is None else started
        self._stages: dict[str, float] = {}
        self._name = "start"

    def stage(self, name: str) -> None:
        """End the stage that runs and begin another."""
        now = time.perf_counter()
        self._stages[self._name] = self._stages.get(self._name, 0.0) + now - self._last
        self._name, self._last = name, now

    def seconds(self) -> dict[str, float]:
        """Seconds by stage up to now, with `total`."""
        self.stage(self._name)
        rounded = {name: round(value, 3) for name, value in self._stages.items()}
        return rounded | {"total": round(time.perf_counter() - self._started, 3)}


def train(
    recipe: str | Recipe = "mlp",
    *,
    data: str | Path | Dataset | None = None,
    validation: int = 5000,
    model: str | Callable[[], Any] | None = None,
    engine: str = "auto",
    folder: str | Path | None = None,
    name: str | None = None,
    watcher: Watcher | None = None,
    stopwatch: Stopwatch | None = None,
    **changes: Any,
) -> runs.Run:
    """Train a recipe, judge the result on the test images once, and leave a finished run folder.

    Args:
        recipe: A name in `digitlab.RECIPES`, or a Recipe.
        data: None for the bundled MNIST, a path (see `digitlab.load`), or a Dataset.
        validation: How many of the last training images are kept for validation; 0 trains on all.
        model: A Keras model of your own instead of the recipe's: ``"my_file.py:build"``, or a function that returns
            it. It takes raw 0..255 pictures, so begin it with ``Rescaling(1 / 255)``.
        engine: "auto", "compiled" or "fit".
        folder: Where runs live; else `DIGITLAB_RUNS`, else ``runs``.
        name: The run's name; else made from recipe and time.
        watcher: Told how far it is.
        stopwatch: One that is running already, so that the run's seconds count from there.
        **changes: Fields of the recipe, as in ``epochs=3``.

    Returns:
        The finished run: ``run.evaluation``, ``run.model``, ``run.history``, ``run.path``.

    Raises:
        DigitlabError: what came, what was expected, what to do; see its kinds.
        KeyboardInterrupt: the run is kept and can go on.

    Example:
        >>> import digitlab
        >>> run = digitlab.train("mlp", epochs=10)  # doctest: +SKIP
        >>> run.evaluation.accuracy  # doctest: +SKIP
        0.982
    """
    from digitlab.drawing import Drawer
    from digitlab.learning.engine import check_engine

    watcher, stopwatch = watcher or Watcher(), stopwatch or Stopwatch()
    settings = _own_recipe(make_recipe(recipe, **changes), model)
    check_engine(engine)
    own = _own_model(settings.network)
    runs.check_name(runs.runs_folder(folder), name)
    _stage(watcher, stopwatch, "data")
    dataset = data if isinstance(data, Dataset) else load(data, validation=validation)
    with Drawer() as drawer:
        built = _build(settings, dataset, model if callable(model) else None, watcher, stopwatch)
        # Only now, so that a mistake in data or model leaves no folder behind.
        run = runs.create_run(
            runs.runs_folder(folder),
            name,
            {
                "recipe": settings.to_dict(),
                "seed": settings.seed,
                "engine": engine,
                "data": _describe(dataset, data),
                "own_model": own,
                "parameters": int(built.count_params()),
                "layers": _layers(built),
                "versions": versions(),
                "machine": machine(),
            },
        )
        with runs.locked(run):
            return _carry_out(run, built, dataset, None, drawer, watcher, stopwatch)


def resume(
    reference: str | Path,
    *,
    data: Dataset | None = None,
    model: Callable[[], Any] | None = None,
    folder: str | Path | None = None,
    watcher: Watcher | None = None,
    stopwatch: Stopwatch | None = None,
) -> runs.Run:
    """Go on with a run that was stopped, wherever that was; it ends as if it had never been.

    Args:
        reference: The run's path or name, or ``latest``.
        data: The Dataset, if the run was given one as an object rather than a path.
        model: The function, if the run was given one rather than ``FILE.py:FUNCTION``.
        folder: Where runs live.
        watcher: Told how far it is.
        stopwatch: One that is running already.

    Returns:
        The finished run, bit-equal in weights and history to one never interrupted on the same machine and versions.

    Raises:
        RunError: no such run, finished already, in use, its data or model changed, or its checkpoint is damaged.
    """
    from digitlab.drawing import Drawer

    watcher, stopwatch = watcher or Watcher(), stopwatch or Stopwatch()
    run = runs.open_run(reference, folder)
    with runs.locked(run):
        info = run.info
        if info["state"] == "finished":
            raise RunError(f"{run.path}: finished already. Look at it with: digitlab runs {run.path}")
        _stage(watcher, stopwatch, "data")
        dataset = _dataset_of(run, data)
        if info["own_model"] != _own_model(info["recipe"]["network"]):
            raise RunError(f"{run.path}: {info['recipe']['network']} changed since it began. Restore it, or train anew")
        state = run.checkpoint()
        with Drawer() as drawer:
            built = _build(run.recipe, dataset, model, watcher, stopwatch)
            run.update(state="training", versions=versions(), machine=machine())
            return _carry_out(run, built, dataset, state, drawer, watcher, stopwatch)


def _build(
    recipe: Recipe, dataset: Dataset, maker: Callable[[], Any] | None, watcher: Watcher, stopwatch: Stopwatch
) -> Any:
    _stage(watcher, stopwatch, "build")
    from digitlab.learning.models import build

    return build(recipe, len(dataset.class_names), maker)


def _carry_out(
    run: runs.Run,
    model: Any,
    dataset: Dataset,
    state: TrainState | None,
    drawer: Drawer,
    watcher: Watcher,
    stopwatch: Stopwatch,
) -> runs.Run:
    """Train, judge, keep; whatever happens, `run.json` says how far it came."""
    try:
        watcher.started(run, dataset, model, state)
        _stage(watcher, stopwatch, "train")
        _train(run, model, dataset, state, watcher)
        content = _judge(run, dataset, model, watcher, stopwatch)
        _stage(watcher, stopwatch, "draw")
        drawer.draw(run.path / "figures", _figure_content(dataset, content))
        _write_report(run, content)
        drawer.wait()
        # Last of all: a run that says "finished" has everything.
        run.update(state="finished", seconds=stopwatch.seconds())
        (run.path / "checkpoint.npz").unlink(missing_ok=True)
    except BaseException as error:
        with contextlib.suppress(Exception):  # a full disk must not hide why it failed
            run.update(state="interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        raise
    return run


def _train(run: runs.Run, model: Any, dataset: Dataset, state: TrainState | None, watcher: Watcher) -> None:
    """Train the model, a checkpoint an epoch."""
    from digitlab.learning import engine as engines

    recipe, info = run.recipe, run.info

    def on_epoch(state: TrainState) -> None:
        run.keep(state)
        watcher.epoch(state, recipe.epochs)

    state = engines.train(
        model,
        recipe,
        engines.Pictures(dataset.train.images, dataset.train.labels),
        engines.Pictures(dataset.validation.images, dataset.validation.labels),
        engine=info["engine"],
        resume=state,
        on_epoch=on_epoch,
        on_progress=watcher.progress,
    )
    # A kill between the checkpoint and the history of the last epoch leaves the history a row short.
    write_atomically(run.path / "history.csv", runs.history_csv(state.history))


def _judge(run: runs.Run, dataset: Dataset, model: Any, watcher: Watcher, stopwatch: Stopwatch) -> ReportContent:
    """Look at the test images, once; keep model, predictions and numbers."""
    _stage(watcher, stopwatch, "judge")
    from digitlab.judging import evaluate as judge
    from digitlab.learning.engine import predict

    arrays = {
        "test_probabilities": predict(model, dataset.test.images),
        "test_labels": dataset.test.labels,
        "validation_probabilities": predict(model, dataset.validation.images),
        "validation_labels": dataset.validation.labels,
    }
    evaluation = judge(
        arrays["test_probabilities"],
        dataset.test.labels,
        validation=(arrays["validation_probabilities"], dataset.validation.labels) if len(dataset.validation) else None,
        doubtful=dataset.doubtful,
    )
    _stage(watcher, stopwatch, "save")
    _save_model(run, model)
    runs.write_arrays(run.path / "predictions.npz", arrays)
    runs.write_json(run.path / "metrics.json", {"format": runs.FORMAT, "test": evaluation.to_dict()})
    run.update(seconds=stopwatch.seconds())
    return _content(run, dataset, _first_weights(model))


def _save_model(run: runs.Run, model: Any) -> None:
    """`model.keras`, compiled with stock parts only, so that plain Keras opens it and can evaluate it at once."""
    from digitlab.learning.engine import make_loss

    # A fresh optimizer, so that training further begins like training anew; built, or Keras warns when it loads it.
    model.compile(optimizer=run.recipe.optimizer, loss=make_loss(run.recipe), metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    temporary = run.path / ".model.tmp.keras"
    model.save(temporary)
    write_atomically(run.path / "model.keras", temporary.read_bytes())
    temporary.unlink()


def _layers(model: Any) -> list[dict[str, Any]]:
    """The architecture as plain values, for the report."""
    described = []
    for layer in model.layers:
        activation = getattr(getattr(layer, "activation", None), "__name__", None)
        described.append(
            {
                "name": layer.name,
                "type": type(layer).__name__,
                "output_shape": [None, *layer.output.shape[1:]],
                "parameters": int(layer.count_params()),
                "activation": None if activation == "linear" else activation,
            }
        )
    return described


def _first_weights(model: Any) -> np.ndarray | None:
    """What the first layer looks for, as pictures (28, 28, units), where it is dense on the pixels; else None."""
    for layer in model.layers:
        weights = layer.get_weights()
        if weights:
            return weights[0].reshape(28, 28, -1) if weights[0].ndim == 2 and weights[0].shape[0] == 28 * 28 else None
    return None


def _content(run: runs.Run, dataset: Dataset, first_weights: np.ndarray | None) -> ReportContent:
    """What figures and report show, read from the run's folder."""
    from digitlab.judging.report import ReportContent

    info, predictions = run.info, run.predictions
    return ReportContent(
        name=run.name,
        created=info["created"],
        recipe=info["recipe"],
        description=info["recipe"]["description"],
        data_name=dataset.name,
        data_sha256=dataset.sha256,
        data_counts=info["data"]["counts"],
        class_names=dataset.class_names,
        machine=info["machine"],
        versions=info["versions"],
        seconds=info["seconds"],
        history=run.history,
        evaluation=run.evaluation,
        images=dataset.test.images,
        labels=dataset.test.labels,
        probabilities=predictions["test_probabilities"],
        layers=info["layers"],
        first_weights=first_weights,
        model_file="model.keras",
        seed=info["seed"],
        parameters=info["parameters"],
        recipe_changes=_changes(info["recipe"]),
        corruptions=robustness.accuracies if (robustness := run.robustness) else None,
    )


def _changes(fields: dict[str, Any]) -> dict[str, Any]:
    """The named recipe's value of each field that this run set otherwise."""
    named = RECIPES.get(fields["name"])
    if named is None:
        return {}
    return {key: value for key, value in named.to_dict().items() if key != "seed" and fields.get(key) != value}


def _figure_content(dataset: Dataset, content: ReportContent) -> FigureContent:
    """What the figures show, small enough to be handed to another process."""
    from digitlab.judging.figures import FigureContent

    few = slice(500)  # the figure of samples draws from these
    return FigureContent(
        class_names=content.class_names,
        train_images=dataset.train.images[few],
        train_labels=dataset.train.labels[few],
        history=content.history,
        images=content.images,
        labels=content.labels,
        probabilities=content.probabilities,
        evaluation=content.evaluation,
    )


def _write_report(run: runs.Run, content: ReportContent) -> None:
    from digitlab.judging.report import render

    write_atomically(run.path / "report.html", render(content))


def report(reference: str | Path, *, data: Dataset | None = None, folder: str | Path | None = None) -> Path:
    """Draw the figures and write the report of a finished run anew; returns the report's path.

    Raises:
        RunError: no such run, not finished, or its data changed.
    """
    from digitlab.judging.figures import save_figures

    run = runs.open_run(reference, folder)
    dataset = _dataset_of(run, data)
    content = _content(run, dataset, _first_weights(run.model))
    save_figures(run.path / "figures", _figure_content(dataset, content))
    _write_report(run, content)
    return run.path / "report.html"


def evaluate(
    reference: str | Path,
    *,
    data: str | Path | Dataset | None = None,
    folder: str | Path | None = None,
) -> Evaluation:
    """Judge a run's model on the test pictures of its own or of other data; the run's folder is left as it is.

    The temperature is the one fitted on the run's own validation images, never on the data judged here.

    Raises:
        RunError: no such run, or it has no model yet.
        DataError: the data cannot be read, or has more classes than the model.
    """
    from digitlab.judging import evaluate as judge
    from digitlab.learning.engine import predict

    run = runs.open_run(reference, folder)
    kept = run.predictions
    dataset = _judged_data(run, data)
    validation = (kept["validation_probabilities"], kept["validation_labels"])
    return judge(
        predict(run.model, dataset.test.images),
        dataset.test.labels,
        validation=validation if len(validation[1]) else None,
        doubtful=dataset.doubtful,
    )


def corrupted(
    reference: str | Path,
    *,
    data: str | Path | Dataset | None = None,
    folder: str | Path | None = None,
    kinds: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Robustness:
    """Judge a run's model on its test pictures made worse in many ways; the run keeps it, for its report.

    Worker threads make the pictures, one a core, while the model reads those already made.

    Args:
        reference: The run's path or name, or ``latest``.
        data: Other data than the run's own; then nothing is kept.
        folder: Where runs live.
        kinds: Names in `digitlab.judging.corruptions.CORRUPTIONS`; all of them if absent, fewer are not kept.
        progress: Told how many of how many sets of pictures are judged.

    Returns:
        ``.accuracies``: kind -> accuracy by rising strength; ``.mean``; ``.untouched``.

    Raises:
        RunError: no such run, or it has no model yet.
        DataError: the data cannot be read, has no test pictures or more classes than the model; or no such kind.
    """
    from digitlab.judging.corruptions import CORRUPTIONS, corrupt
    from digitlab.judging.robustness import Robustness
    from digitlab.learning.engine import predictor

    chosen = list(CORRUPTIONS if kinds is None else kinds)
    unknown = [kind for kind in chosen if kind not in CORRUPTIONS]
    if unknown or not chosen:
        raise DataError(f"no corruption {unknown[0] if unknown else ''!r}, expected some of {', '.join(CORRUPTIONS)}")
    run = runs.open_run(reference, folder)
    test = _judged_data(run, data).test
    if not len(test):
        raise DataError(f"{data or run.path}: no test pictures. Give data that has some")
    read = predictor(run.model)

    def accuracy(images: np.ndarray) -> float:
        return float((read(images).argmax(axis=1) == test.labels).mean())

    untouched = accuracy(test.images)
    jobs = [(kind, strength + 1) for kind in chosen for strength in range(len(CORRUPTIONS[kind].strengths))]
    accuracies: dict[str, list[float]] = {kind: [] for kind in chosen}
    workers = int(machine()["cores"])
    with ThreadPoolExecutor(workers) as pool:
        # Only a few sets ahead: all 95 at once would be 750 MB.
        waiting = deque(pool.submit(corrupt, test.images, *job) for job in jobs[: workers + 1])
        try:
            for done, (kind, _) in enumerate(jobs, 1):
                images = waiting.popleft().result()
                if done + workers < len(jobs):
                    waiting.append(pool.submit(corrupt, test.images, *jobs[done + workers]))
                accuracies[kind].append(accuracy(images))
                if progress:
                    progress(done, len(jobs))
        finally:
            for future in waiting:
                future.cancel()
    robustness = Robustness(untouched, accuracies, len(test))
    if data is None and kinds is None:
        runs.write_json(run.path / "corruptions.json", {"format": runs.FORMAT, "test": robustness.to_dict()})
    return robustness


def compare(first: str | Path, second: str | Path, *, folder: str | Path | None = None) -> Comparison:
    """How much two runs differ on the same test images, and whether that is more than chance.

    Raises:
        RunError: no such run, not finished, or judged on different test images.
    """
    from digitlab.judging.compare import compare_runs

    a, b = runs.open_run(first, folder), runs.open_run(second, folder)
    if a.info["data"]["test_sha256"] != b.info["data"]["test_sha256"]:
        raise RunError(f"{a.path} and {b.path}: judged on different test images, so they cannot be compared")
    return compare_runs(
        a.predictions["test_labels"],
        a.predictions["test_probabilities"],
        b.predictions["test_probabilities"],
        names=(a.name, b.name),
    )


def _judged_data(run: runs.Run, data: str | Path | Dataset | None) -> Dataset:
    """The data to judge a run's model on: its own, or other data of no more classes than it knows."""
    if data is None:
        return _dataset_of(run, None)
    dataset = data if isinstance(data, Dataset) else load(data, validation=0)
    classes = run.predictions["test_probabilities"].shape[1]
    if len(dataset.class_names) > classes:
        raise DataError(
            f"{dataset.source or dataset.name}: has {len(dataset.class_names)} classes, the model of {run.path} knows "
            f"{classes}. Give data of the same classes"
        )
    return dataset


def _dataset_of(run: runs.Run, data: Dataset | None) -> Dataset:
    """The data a run was trained and judged on, loaded again and checked."""
    kept = run.info["data"]
    if data is None and kept["source"] is None:
        raise RunError(f"{run.path}: was trained on a Dataset made in Python; call this there with data=…")
    dataset = data or load(kept["source"] or None, validation=kept["counts"]["validation"])
    if dataset.sha256 != kept["sha256"]:
        raise RunError(
            f"{run.path}: the data in {kept['source'] or 'the package'} is not what it was trained on "
            f"(sha256 {dataset.sha256[:12]}…, was {kept['sha256'][:12]}…). Restore the data, or train anew"
        )
    return dataset


def _describe(dataset: Dataset, data: str | Path | Dataset | None) -> dict[str, Any]:
    """What run.json says of the data: enough to load the same again and to notice when it is not the same."""
    source = None if isinstance(data, Dataset) else str(Path(data).resolve()) if data else ""
    return {
        "name": dataset.name,
        "source": source,  # "" is the bundled MNIST, None a Dataset made in Python
        "sha256": dataset.sha256,
        "test_sha256": hashlib.sha256(dataset.test.images.tobytes() + dataset.test.labels.tobytes()).hexdigest(),
        "classes": list(dataset.class_names),
        "counts": {part: len(getattr(dataset, part)) for part in ("train", "validation", "test")},
    }


def _own_recipe(recipe: Recipe, model: str | Callable[[], Any] | None) -> Recipe:
    """The recipe with a user's own model in place of its network."""
    if model is None:
        return recipe
    if isinstance(model, str) and ".py:" not in model:
        raise RecipeError(f"model: got {model!r}, expected a file and a function in it, as in my_file.py:build")
    described = model if isinstance(model, str) else f"{model.__module__}.{model.__qualname__}"
    return dataclasses.replace(recipe, name="own", network=described, description=f"own model {described}")


def _own_model(network: str) -> dict[str, str] | None:
    """Path and hash of a user's own model file, to notice a change before going on with it."""
    if ".py:" not in network:
        return None
    path = Path(network.rpartition(":")[0])
    if not path.is_file():
        raise RecipeError(f"{path}: no such file; expected a Python file, as in my_file.py:build")
    return {"file": str(path.resolve()), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _stage(watcher: Watcher, stopwatch: Stopwatch, name: str) -> None:
    stopwatch.stage(name)
    watcher.stage(name)
