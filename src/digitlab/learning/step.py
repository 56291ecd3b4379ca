"""The training step as a pure function, compiled once for all recipes of the same structure.

What a search changes from trial to trial (learning rate, warm-up, weight decay, dropout, label smoothing, strengths of
augmentation, decay of the averaged weights) are arguments of the compiled program, not constants in it: the second
trial of the same layers and batch size trains at once. What changes the computation itself (layers, optimizer, loss,
whether a kind of augmentation is there at all) makes another program.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from digitlab.learning import augment
from digitlab.learning.backend import import_keras
from digitlab.learning.initial_weights import without_weights
from digitlab.learning.kinds import Carry, Keras, Layer, Loss, Model, Number, Optimizer, Sums, Values
from digitlab.learning.matmul_layers import is_samplewise, map_in_microbatches, part_size, with_matmul_layers
from digitlab.learning.recipe import Recipe
from digitlab.learning.schedule import one_cycle

if TYPE_CHECKING:
    import jax

# Images, labels and, or None, how much each counts.
Batch: TypeAlias = "tuple[jax.Array, jax.Array, jax.Array | None]"
Forward: TypeAlias = "Callable[[Values, Values, jax.Array], jax.Array]"

# Of XLA, for programs that run for milliseconds.
LITTLE_OPTIMISED = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}

# Programs kept; a search that also varies layers and batch sizes goes through a few dozen.
KEPT = 64


class Numbers(NamedTuple):
    """The numbers of a recipe that a compiled program takes as arguments, float32 unless said otherwise.

    Attributes:
        peak_rate: Learning rate after warm-up.
        warmup: Steps of warm-up.
        steps: Steps in all.
        weight_decay: Per step, times the learning rate.
        label_smoothing: Share of the label spread over all classes.
        average: Decay of the running mean of the weights.
        dropout: (dropout layers,) share of units silenced by each of the model's layers.
        strengths: (7,) as in `augment.KINDS`.
    """

    peak_rate: Number
    warmup: Number
    steps: Number
    weight_decay: Number
    label_smoothing: Number
    average: Number
    dropout: np.ndarray | jax.Array
    strengths: np.ndarray | jax.Array


def numbers(recipe: Recipe, steps: int, model: Model) -> Numbers:
    """The recipe's numbers for a run of `steps` steps of this model."""
    single = np.float32
    return Numbers(
        single(recipe.peak_rate),
        single(int(recipe.warmup * steps)),
        single(steps),
        single(recipe.weight_decay),
        single(recipe.label_smoothing),
        single(recipe.average),
        np.array([layer.rate for layer in _dropouts(model)], single),
        np.array([getattr(recipe, name) for name in augment.KINDS], single),
    )


class Program:
    """Training and judging a batch, compiled; holds no state of a run.

    Args:
        model: A built keras.Model; used for its layers only, its values are never read.
        recipe: Uses the fields that are structure: loss, optimizer, schedule, which strengths are not 0.
        optimizer: The recipe's, built for the model.
        loss: The recipe's, without label smoothing.
    """

    def __init__(self, model: Model, recipe: Recipe, optimizer: Optimizer, loss: Loss) -> None:
        import jax

        self._recipe, self._optimizer, self._loss = recipe, optimizer, loss
        self._input_shape = model.input_shape[1:]
        fast = with_matmul_layers(model)  # on a CPU, convolutions as matrix products
        self._in_parts = fast is not model
        self._samplewise = self._in_parts and is_samplewise(fast)
        self._fast = _with_dropout_as_argument(fast)
        self._iterations = [v is optimizer.iterations for v in optimizer.variables].index(True)
        self._tracing = threading.RLock()
        self.stretch = jax.jit(self._run, donate_argnums=0, static_argnames="size")
        # The last batch of an epoch is a single step, so what counts is how long it takes to compile (docs/log.md).
        options = LITTLE_OPTIMISED if jax.default_backend() == "cpu" else None
        self.last = jax.jit(self._run, donate_argnums=0, static_argnames="size", compiler_options=options)
        self.judge = jax.jit(self._sums)

    @contextlib.contextmanager
    def _bound(self, given: Numbers) -> Iterator[None]:
        """While the step is traced, optimizer and layers use the arguments of the program in place of constants.

        Keras reads these attributes whenever it computes, so nothing but its public interface is needed.
        """
        optimizer = self._optimizer
        layers = [layer for layer in _dropouts(self._fast) if type(layer) in _CLASSES]
        with self._tracing:
            before = optimizer.weight_decay, optimizer.ema_momentum, [layer.rate_now for layer in layers]
            if optimizer.weight_decay is not None:
                optimizer.weight_decay = given.weight_decay
            if self._recipe.schedule == "one-cycle":
                optimizer.learning_rate = one_cycle(given.peak_rate, given.warmup, given.steps)
            if optimizer.use_ema:
                optimizer.ema_momentum = given.average
            for i, layer in enumerate(layers):
                layer.rate_now = given.dropout[i]
            try:
                yield
            finally:
                optimizer.weight_decay, optimizer.ema_momentum = before[:2]
                for layer, rate in zip(layers, before[2], strict=True):
                    layer.rate_now = rate
                if self._recipe.schedule == "one-cycle":
                    # Any numbers: a traced one would outlive its trace, and nobody asks this optimizer for its rate.
                    optimizer.learning_rate = one_cycle(self._recipe.peak_rate, 0, 1)

    def _targets(self, labels: jax.Array, classes: int, smoothing: Number) -> jax.Array:
        import jax

        if self._recipe.loss != "categorical_crossentropy":
            return labels
        return jax.nn.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes

    def _step(self, carry: Carry, key: jax.Array, given: Numbers, batch: Batch) -> tuple[Carry, Sums]:
        """One training step: what the next one is handed, and its loss and number correct."""
        import jax
        import jax.numpy as jnp

        trainable, others, optimizer = carry
        images, labels, weights = batch
        if augment.active(self._recipe):
            step_key = jax.random.fold_in(key, optimizer[self._iterations])
            images = augment.apply(step_key, images, self._recipe, given.strengths)
        inputs = images.astype(jnp.float32).reshape(-1, *self._input_shape)
        gradients, others, loss, right = self._gradients(trainable, others, given, (inputs, labels, weights))
        trainable, optimizer = self._optimizer.stateless_apply(optimizer, gradients, trainable)
        return Carry(trainable, others, optimizer), Sums(loss, right)

    def _gradients(
        self, trainable: Values, others: Values, given: Numbers, batch: Batch
    ) -> tuple[Values, Values, Number, Number]:
        """Of one batch: gradients, the other variables afterwards, loss, number correct.

        The twin of a convolutional model lays out many windows: of a batch of 128 they go through main memory, of
        parts of `part_size` images they stay in cache, which takes half the time. The mean of the parts' gradients is
        the batch's gradient, as the loss is a mean and each image is treated by itself.
        """
        import jax
        import jax.numpy as jnp

        def objective(
            trainable: Values, others: Values, inputs: jax.Array, labels: jax.Array, weights: jax.Array | None
        ) -> tuple[jax.Array, tuple[Values, jax.Array]]:
            outputs, others, extra = self._fast.stateless_call(
                trainable, others, inputs, training=True, return_losses=True
            )
            targets = self._targets(labels, outputs.shape[-1], given.label_smoothing)
            loss = self._loss(targets, outputs, sample_weight=weights)
            return loss + sum(extra, start=0.0), (others, (outputs.argmax(-1) == labels).sum())

        both = jax.value_and_grad(objective, has_aux=True)
        count = len(batch[1])
        size = part_size(count) if self._samplewise else count
        parts = count // size
        if parts == 1:
            (loss, (others, right)), gradients = both(trainable, others, *batch)
            return gradients, others, loss, right

        def body(i: Any, so_far: Any) -> Any:
            gradients, others, loss, right = so_far
            part = jax.tree.map(lambda array: jax.lax.dynamic_slice_in_dim(array, i * size, size), batch)
            (part_loss, (others, part_right)), part_gradients = both(trainable, others, *part)
            gradients = jax.tree.map(jnp.add, gradients, part_gradients)
            return gradients, others, loss + part_loss, right + part_right

        nothing = (jax.tree.map(jnp.zeros_like, trainable), others, jnp.float32(0), jnp.int32(0))
        gradients, others, loss, right = jax.lax.fori_loop(0, parts, body, nothing)
        return jax.tree.map(lambda g: g / parts, gradients), others, loss / parts, right

    def _run(
        self,
        carry: Carry,
        sums: Sums,
        key: jax.Array,
        given: Numbers,
        pictures: Batch,
        indices: jax.Array,
        bounds: tuple[Number, Number],
        *,
        size: int,
    ) -> tuple[Carry, Sums]:
        """The steps within `bounds`, each on the next `size` of `indices`: (carry, sums of loss and number correct).

        The sums go through as well, so that they are added up step by step in one order however the clock cut the
        epoch into stretches: the history is bit-equal from run to run, not only the weights.
        """
        import jax

        def body(i: jax.Array, state: tuple[Carry, Sums]) -> tuple[Carry, Sums]:
            carry, sums = state
            chosen = jax.lax.dynamic_slice_in_dim(indices, i * size, size)
            batch = jax.tree.map(lambda array: array[chosen], pictures)  # weights may be None
            carry, step = self._step(carry, key, given, batch)
            return carry, Sums(sums.loss + size * step.loss, sums.correct + step.correct)

        with self._bound(given):
            return jax.lax.fori_loop(*bounds, body, (carry, sums))

    def _sums(
        self,
        trainable: Values,
        others: Values,
        smoothing: Number,
        images: jax.Array,
        labels: jax.Array,
        valid: Number,
    ) -> tuple[jax.Array, jax.Array]:
        """Loss and number correct, summed over the first `valid` images of a chunk."""
        import jax.numpy as jnp

        inputs = images.astype(jnp.float32).reshape(-1, *self._input_shape)

        def forward(part: jax.Array) -> jax.Array:
            return self._fast.stateless_call(trainable, others, part, training=False)[0]

        with self._tracing:  # Keras' layers are traced by one thread at a time
            outputs = map_in_microbatches(forward, inputs) if self._in_parts else forward(inputs)
        mask = jnp.arange(len(labels)) < valid
        losses = self._loss.call(self._targets(labels, outputs.shape[-1], smoothing), outputs)
        return jnp.where(mask, losses, 0).sum(), (mask & (outputs.argmax(-1) == labels)).sum()


_programs: OrderedDict[str, Any] = OrderedDict()
_lock = threading.Lock()


def program(model: Model, recipe: Recipe, optimizer: Optimizer, loss: Loss) -> Program:
    """The program for this model and recipe: one made before, where it computes the same; see `Program`."""
    chosen = [recipe.loss, recipe.optimizer, recipe.schedule, bool(recipe.weight_decay), bool(recipe.average)]
    present = [bool(getattr(recipe, name)) for name in augment.KINDS]
    made: Program = _shared(model, [chosen, present], lambda: Program(model, recipe, optimizer, loss))
    return made


def forward(model: Model) -> Forward:
    """The model's forward pass, compiled: (trainable values, other values, images 0..255) to its outputs."""

    def make() -> Any:
        import jax
        import jax.numpy as jnp

        fast, shape = with_matmul_layers(model), model.input_shape[1:]

        def call(trainable: Values, others: Values, images: jax.Array) -> jax.Array:
            def outputs(part: jax.Array) -> jax.Array:
                return fast.stateless_call(trainable, others, part, training=False)[0]

            inputs = images.astype(jnp.float32).reshape(-1, *shape)
            return outputs(inputs) if fast is model else map_in_microbatches(outputs, inputs)

        return jax.jit(call)

    made: Forward = _shared(model, ["forward"], make)
    return made


def _shared(model: Model, what: list[Any], make: Callable[[], Any]) -> Any:
    """What `make` makes, or made before for a model of the same layers."""
    layers = _structure(model)
    if layers is None:
        return make()
    key = json.dumps([layers, what], default=str)
    with _lock:
        if key not in _programs:
            _programs[key] = make()
            while len(_programs) > KEPT:
                _programs.popitem(last=False)
        _programs.move_to_end(key)
        return _programs[key]


def _structure(model: Model) -> list[Any] | None:
    """The layers that decide which program is compiled; None for a model whose program cannot be shared.

    Shared are stacks of Keras' own layers, which is what the named networks are. The names of layers and the rates of
    dropout are left out.
    """
    keras = import_keras()
    if type(model) is not keras.Sequential:
        return None
    layers: list[Any] = [model.input_shape]
    for layer in model.layers:
        if not type(layer).__module__.startswith("keras."):
            return None
        config: Any = {name: value for name, value in layer.get_config().items() if name not in ("name", "seed")}
        if isinstance(layer, keras.Model):
            config = _unnamed(layer, config)
        if type(layer) is keras.layers.Dropout:
            config["rate"] = bool(layer.rate)
        layers.append([type(layer).__name__, config])
    return layers


def _unnamed(model: Model, config: Any) -> str:
    """The config of a model inside the model, as text; operations by their place, since Keras numbers their names."""
    text = json.dumps(config, default=str)
    for place, operation in enumerate(model.operations):
        text = text.replace(json.dumps(operation.name), f'"operation {place}"')
    return text


def _dropouts(model: Model) -> list[Layer]:
    """The model's dropout layers whose rate a program takes as an argument, in order."""
    dropout = import_keras().layers.Dropout
    kinds = (dropout, *_CLASSES)
    layers = [layer for layer in model._flatten_layers(include_self=False) if type(layer) in kinds]
    return [layer for layer in layers if layer.rate and layer.noise_shape is None]


def _with_dropout_as_argument(model: Model) -> Model:
    """The model with each Dropout replaced by one whose rate the program gives it; itself, where it has none."""
    keras = import_keras()
    if not _dropouts(model):
        return model
    kind = _argument_dropout(keras)

    def replaced(layer: Layer) -> Layer:
        plain = type(layer) is keras.layers.Dropout and layer.noise_shape is None
        return without_weights(layer, kind if plain else None)

    try:
        copy = keras.models.clone_model(model, clone_function=replaced)
    except (TypeError, ValueError, NotImplementedError, AttributeError):
        return model  # a user's own class that cannot be made from its config: its rates stay constants
    shapes = [[tuple(v.shape) for v in (*m.trainable_variables, *m.non_trainable_variables)] for m in (copy, model)]
    return copy if shapes[0] == shapes[1] else model


_CLASSES: list[Any] = []


def _argument_dropout(keras: Keras) -> Any:
    """The class of those layers; made once, when Keras is there."""
    if _CLASSES:
        return _CLASSES[0]
    import jax

    class ArgumentDropout(keras.layers.Dropout):  # type: ignore[misc]
        """Keras' Dropout with a rate that may be a traced value: the same draws, the same arithmetic."""

        rate_now: Number | None = None

        def call(self, inputs: jax.Array, training: bool = False) -> jax.Array:
            if not training:
                return inputs
            keep = 1 - (self.rate if self.rate_now is None else self.rate_now)
            mask = jax.random.bernoulli(self.seed_generator.next(), keep, inputs.shape)
            return jax.numpy.where(mask, inputs / keep, 0)

    _CLASSES.append(ArgumentDropout)
    return ArgumentDropout
