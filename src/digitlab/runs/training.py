"""From a recipe to a finished run: data -> engine -> judging -> run. The only place that knows the order."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitlab.data import Dataset
from digitlab.data.dataset import Arrays, as_dataset
from digitlab.errors import ExportError, RunError
from digitlab.files import printable, write_atomically
from digitlab.learning.export import export_model
from digitlab.learning.recipe import Recipe
from digitlab.learning.recipe import recipe as make_recipe
from digitlab.machine import give_back_memory, machine, versions
from digitlab.runs.events import Stopwatch, Watcher
from digitlab.runs.folder import FORMAT, Run, history_csv, write_arrays, write_json
from digitlab.runs.gather import (
    dataset_of,
    early_content,
    figure_content,
    report_content,
    write_card,
    write_report,
)
from digitlab.runs.lock import locked
from digitlab.runs.own_model import own_model, own_recipe
from digitlab.runs.register import check_free, create_run, open_run, runs_folder
from digitlab.runs.states import Stage, State
from digitlab.runs.trust import check_trusted, trust

if TYPE_CHECKING:
    from digitlab.learning.state import TrainState
    from digitlab.showing import ReportContent
    from digitlab.showing.figures.process import Drawer


def train(
    recipe: str | Recipe = "mlp",
    *,
    data: str | Path | Dataset | Arrays | None = None,
    validation: int = 5000,
    model: str | Callable[[], Any] | None = None,
    engine: str = "auto",
    folder: str | Path | None = None,
    name: str | None = None,
    group: str | None = None,
    judge: bool = True,
    begin_with: Callable[[], Any] | None = None,
    about: Mapping[str, Any] | None = None,
    watcher: Watcher | None = None,
    stopwatch: Stopwatch | None = None,
    **changes: Any,
) -> Run:
    """Train a recipe, judge the result on the test images once, and leave a finished run folder.

    Args:
        recipe: A name in `digitlab.RECIPES`, or a Recipe.
        data: None for the bundled MNIST, a path (see `digitlab.load`), a Dataset, or arrays as Keras' data sets give
            them: ``((train_images, train_labels), (test_images, test_labels))``.
        validation: How many training images are kept for validation, as for `digitlab.load`; 0 trains on all.
        model: A Keras model of your own instead of the recipe's: ``"my_file.py:build"``, or a function that returns
            it. It takes raw 0..255 images, so begin it with ``Rescaling(1 / 255)``.
        engine: "auto", "compiled" or "fit".
        folder: Where runs live; else `DIGITLAB_RUNS`, else ``runs``.
        name: The run's name; else made from recipe and time.
        group: The group of seeds it belongs to; see `digitlab.runs.groups`.
        judge: False only trains: the test images are not looked at, nothing is drawn, and the run's state is "trained";
            it has ``run.model`` and ``run.history``, and `resume` judges it later.
        begin_with: Gives a trained model to begin from, in place of fresh weights; the recipe stays as it is.
        about: More to write into run.json; "parent" marks a run that was taught by another.
        watcher: Told how far it is; None for a bar in a notebook, and silence elsewhere.
        stopwatch: One that is running already, so that the run's seconds count from there.
        **changes: Fields of the recipe, as in ``epochs=3``.

    Returns:
        The finished run: ``run.evaluation``, ``run.model``, ``run.history``, ``run.path``.

    Raises:
        DigitlabError: what came, what was expected, what to do; see its kinds.
        KeyboardInterrupt: the run is kept and can be resumed.

    Example:
        >>> import digitlab
        >>> run = digitlab.train("mlp", epochs=10)  # doctest: +SKIP
        >>> run.evaluation.accuracy  # doctest: +SKIP
        0.982
    """
    from digitlab.learning.describe import describe_layers
    from digitlab.learning.engine import check_engine
    from digitlab.showing.figures.process import Drawer

    watcher, stopwatch = watcher or _default_watcher(), stopwatch or Stopwatch()
    settings = own_recipe(make_recipe(recipe, **changes), model)
    check_engine(engine)
    own = None if begin_with else own_model(settings.network)
    if own is not None:
        trust(settings.network)
    check_free(runs_folder(folder), name)
    _stage(watcher, stopwatch, Stage.DATA)
    dataset = as_dataset(data, validation=validation)
    with Drawer() if judge else contextlib.nullcontext() as drawer:
        maker = begin_with or (model if callable(model) else None)
        built = _build(settings, dataset, maker, watcher, stopwatch)
        # Only now, so that a mistake in data or model leaves no folder behind.
        run = create_run(
            runs_folder(folder),
            name,
            {
                "recipe": settings.to_dict(),
                "seed": settings.seed,
                "group": group,
                "engine": engine,
                **(about or {}),
                "data": _describe(dataset, _source_of(dataset) if begin_with else data),
                "own_model": own,
                "parameters": int(built.count_params()),
                "layers": describe_layers(built),
                "versions": versions(),
                "machine": machine(),
            },
        )
        with locked(run):
            return _carry_out(run, built, dataset, None, drawer, watcher, stopwatch)


def resume(
    reference: str | Path,
    *,
    data: Dataset | None = None,
    model: str | Callable[[], Any] | None = None,
    folder: str | Path | None = None,
    watcher: Watcher | None = None,
    stopwatch: Stopwatch | None = None,
) -> Run:
    """Resume a run that was stopped, wherever that was; it ends as if it had never been stopped.

    Args:
        reference: The run's path or name, or ``latest``.
        data: The Dataset, if the run was given one as an object rather than a path.
        model: The function, if the run was given one; or ``FILE.py:FUNCTION`` once more, for a run from elsewhere: its
            Python is run only when it is named.
        folder: Where runs live.
        watcher: Told how far it is.
        stopwatch: One that is running already.

    Returns:
        The finished run, bit-equal in weights and history to one never interrupted on the same machine and versions.

    Raises:
        RunError: no such run, finished already, in use, its data or model changed, or its checkpoint is damaged.
    """
    from digitlab.showing.figures.process import Drawer

    watcher, stopwatch = watcher or _default_watcher(), stopwatch or Stopwatch()
    run = open_run(reference, folder)
    with locked(run):
        info = run.info
        if info["state"] == State.FINISHED:
            (run.path / "checkpoint.npz").unlink(missing_ok=True)  # a kill at the very end leaves it
            raise RunError(f"{run.path}: finished already. Look at it with: digitlab runs {run.path}")
        if "parent" in info:
            raise RunError(f"{run.path}: a taught run is not resumed, it takes a minute anew: digitlab train --from …")
        _stage(watcher, stopwatch, Stage.DATA)
        dataset = dataset_of(run, data)
        network = run.recipe.network
        if info["own_model"] != own_model(network):
            raise RunError(f"{run.path}: {network} changed since it began. Restore it, or train anew")
        if ".py:" in network and not callable(model):
            check_trusted(run.path, network, model)
        run.remove_temporary_files()
        state = run.checkpoint()
        with Drawer() as drawer:
            built = _build(run.recipe, dataset, model if callable(model) else None, watcher, stopwatch)
            run.update(state=State.TRAINING, versions=versions(), machine=machine())
            return _carry_out(run, built, dataset, state, drawer, watcher, stopwatch)


def _default_watcher() -> Watcher:
    """A bar in a notebook; silence elsewhere."""
    from digitlab.runs.notebook_progress import NotebookProgress, in_notebook

    return NotebookProgress() if in_notebook() else Watcher()


def _build(
    recipe: Recipe, dataset: Dataset, maker: Callable[[], Any] | None, watcher: Watcher, stopwatch: Stopwatch
) -> Any:
    _stage(watcher, stopwatch, Stage.BUILD)
    from digitlab.learning.models import build

    return build(recipe, len(dataset.class_names), maker)


def _carry_out(
    run: Run,
    model: Any,
    dataset: Dataset,
    state: TrainState | None,
    drawer: Drawer | None,
    watcher: Watcher,
    stopwatch: Stopwatch,
) -> Run:
    """Train, judge, keep; whatever happens, `run.json` says how far it came. Without a drawer, only train."""
    from digitlab.showing.figures import OF_DATA, OF_RESULT, OF_TRAINING

    try:
        watcher.started(run, dataset, model, state)
        figures = run.path / "figures"
        if drawer is not None:
            drawer.draw(figures, early_content(dataset), OF_DATA)
        _stage(watcher, stopwatch, Stage.TRAIN)
        _train(run, model, dataset, state, watcher)
        if drawer is None:
            _stage(watcher, stopwatch, Stage.SAVE)
            _save_model(run, model)
            run.update(
                state=State.TRAINED, seconds=stopwatch.seconds()
            )  # the checkpoint stays: `resume` judges from it
            return run
        give_back_memory()
        drawer.draw(figures, early_content(dataset, run.history), OF_TRAINING)
        _judge(run, dataset, model, watcher, stopwatch)
        # Before the model is saved, so that the figures are drawn meanwhile.
        drawer.draw(figures, figure_content(run, dataset), OF_RESULT)
        content = _save(run, dataset, model, watcher, stopwatch)
        _stage(watcher, stopwatch, Stage.DRAW)
        write_report(run.path / "report.html", content)
        drawer.wait()
        # Written once more, which is quick the second time: report, run.json and terminal say the same seconds.
        seconds = stopwatch.seconds()
        write_report(run.path / "report.html", dataclasses.replace(content, seconds=seconds))
        write_card(run)
        # Last of all: a run that says "finished" has everything.
        run.update(state=State.FINISHED, seconds=seconds)
        (run.path / "checkpoint.npz").unlink(missing_ok=True)
    except BaseException as error:
        with contextlib.suppress(Exception):  # a full disk must not hide why it failed
            run.update(state=State.INTERRUPTED if isinstance(error, KeyboardInterrupt) else State.FAILED)
        raise
    return run


def _train(run: Run, model: Any, dataset: Dataset, state: TrainState | None, watcher: Watcher) -> None:
    """Train the model, a checkpoint an epoch."""
    from digitlab.learning import engine
    from digitlab.learning.batches import LabelledImages

    recipe, info = run.recipe, run.info

    def on_epoch(state: TrainState) -> None:
        run.save_checkpoint(state)
        watcher.epoch(state, recipe.epochs)

    state = engine.train(
        model,
        recipe,
        LabelledImages(dataset.train.images, dataset.train.labels),
        LabelledImages(dataset.validation.images, dataset.validation.labels),
        engine=info["engine"],
        resume=state,
        on_epoch=on_epoch,
        on_progress=watcher.progress,
    )
    # A kill between the checkpoint and the history of the last epoch leaves the history a row short.
    write_atomically(run.path / "history.csv", history_csv(state.history))


def _judge(run: Run, dataset: Dataset, model: Any, watcher: Watcher, stopwatch: Stopwatch) -> None:
    """Look at the test images, once; keep the predictions and their numbers."""
    _stage(watcher, stopwatch, Stage.JUDGE)
    from digitlab.judging import evaluate as judge
    from digitlab.learning.predict import predict

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
    write_arrays(run.path / "predictions.npz", arrays)
    write_json(run.path / "metrics.json", {"format": FORMAT, "test": evaluation.to_dict()})


def _save(run: Run, dataset: Dataset, model: Any, watcher: Watcher, stopwatch: Stopwatch) -> ReportContent:
    """Keep the model, also as ONNX; gives what the report shows."""
    _stage(watcher, stopwatch, Stage.SAVE)
    from digitlab.learning.describe import first_weights

    _save_model(run, model)
    try:
        export_model(model, run.path / "model.onnx", dataset.test.images[:200], run.metadata)
    except ExportError as error:  # a user's own layers; the run is whole without it
        run.update(onnx=printable(error)[:1000])
    run.update(seconds=stopwatch.seconds())
    return report_content(run, dataset, first_weights(model))


def _save_model(run: Run, model: Any) -> None:
    """`model.keras`, compiled with stock parts only, so that plain Keras opens it and can evaluate it at once."""
    from digitlab.learning.optimizer import make_loss

    # A fresh optimizer, so that training further begins like training anew; built, or Keras warns when it loads it.
    model.compile(optimizer=run.recipe.optimizer, loss=make_loss(run.recipe), metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    temporary = run.path / ".model.tmp.keras"
    model.save(temporary)
    write_atomically(run.path / "model.keras", temporary.read_bytes())
    temporary.unlink()


def _describe(dataset: Dataset, data: Any) -> dict[str, Any]:
    """What run.json says of the data: enough to load the same again and to notice when it is not the same."""
    path = isinstance(data, str | Path)
    source = str(Path(data).resolve()) if path else "" if data is None else None
    return {
        "name": dataset.name,
        "source": source,  # "" is the bundled MNIST, None a Dataset made in Python
        "sha256": dataset.sha256,
        "test_sha256": hashlib.sha256(dataset.test.images.tobytes() + dataset.test.labels.tobytes()).hexdigest(),
        "classes": list(dataset.class_names),
        "counts": {part: len(getattr(dataset, part)) for part in ("train", "validation", "test")},
    }


def _source_of(dataset: Dataset) -> str | Dataset | None:
    """Where a loaded Dataset can be loaded from again, None for the bundled one; itself where it was made in Python."""
    if dataset.source == "bundled":
        return None
    return dataset.source if Path(dataset.source).exists() else dataset


def _stage(watcher: Watcher, stopwatch: Stopwatch, name: Stage) -> None:
    stopwatch.stage(name)
    watcher.stage(name)
