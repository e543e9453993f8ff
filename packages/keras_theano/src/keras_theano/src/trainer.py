"""fit, evaluate and predict. Each step of a model is recorded once and then compiled."""

import warnings
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
from keras.src import callbacks as callbacks_module
from keras.src import optimizers as optimizers_module
from keras.src import tree
from keras.src.backend import config
from keras.src.trainers.data_adapters import array_slicing, data_adapter_utils
from keras.src.trainers.epoch_iterator import EpochIterator
from keras.src.utils import traceback_utils
from keras.src.utils.python_utils import pythonify_logs

from keras_theano.execution.collector import paused
from keras_theano.hook.keras_versions import base_trainer, numpy_trainer
from keras_theano.src.ops import core
from keras_theano.src.output_losses import weighted_by_samples
from keras_theano.tracing import trace

Batch = Any
Logs = dict[str, Any]


class TheanoTrainer(numpy_trainer()):  # type: ignore[misc]
    """Contains the loops over batches in fit, evaluate and predict. Everything else comes from the trainer of
    Keras's NumPy backend.

    A `train_step` written by the user gets its gradients from `keras_theano.gradients(loss, variables)`.

    With run_eagerly, evaluate and predict run op by op on NumPy arrays. Training cannot do this, because
    eager values have no gradients. It records every batch anew instead: Python code in the model runs for
    each batch, but its values are still symbolic.
    """

    def __init_subclass__(cls, **named: Any) -> None:
        """Replace the method `export` of keras.Model, which inherits from this class."""
        super().__init_subclass__(**named)
        if cls.__module__ == "keras.src.models.model":
            from keras_theano.src.export import exporting

            cls.export = exporting(cls.export)

    def __init__(self) -> None:
        super().__init__()
        self.train_function: Callable[[list[Batch]], Logs] | None = None
        self.test_function: Callable[[list[Batch]], Logs] | None = None
        self.predict_function: Callable[[list[Batch]], Any] | None = None
        self._eval_epoch_iterator: EpochIterator | None = None

    # -- one batch -----------------------------------------------------------------------------------

    def train_step(self, data: Batch) -> Logs:
        x, y, y_pred, sample_weight, loss = self._forward(data, training=True)
        if self.trainable_weights:
            from keras_theano.tracing.gradients import gradients

            scaled = loss if self.optimizer is None else self.optimizer.scale_loss(loss)
            self.optimizer.apply(gradients(scaled, self.trainable_weights), self.trainable_weights)
        else:
            warnings.warn("The model does not have any trainable weights.", stacklevel=2)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)  # type: ignore[no-any-return]

    def test_step(self, data: Batch) -> Logs:
        x, y, y_pred, sample_weight, _ = self._forward(data, training=False)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)  # type: ignore[no-any-return]

    def _forward(self, data: Batch, training: bool) -> tuple[Any, ...]:
        x, y, sample_weight = data_adapter_utils.unpack_x_y_sample_weight(data)
        y_pred = self(x, training=training) if self._call_has_training_arg else self(x)
        loss = self._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)
        batch = next(part for part in tree.flatten(x) if part is not None)
        self._loss_tracker.update_state(loss, sample_weight=core.shape(batch)[0])
        return x, y, y_pred, sample_weight, loss

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        with weighted_by_samples(self._compile_loss, y_pred):
            return super().compute_loss(
                x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
            )

    # -- functions that take a list of batches and run one execution --------------------------------

    def make_train_function(self, force: bool = False) -> Any:
        if self.train_function is None or force:
            if self.trainable_weights:
                step = self._compiled("train", self.train_step, record_anew=self.run_eagerly)
            else:
                step = self._compiled_or_eager("train", self.train_step)
            self.train_function = _last_of(step)
        return self.train_function

    def make_test_function(self, force: bool = False) -> Any:
        if self.test_function is None or force:
            self.test_function = _last_of(self._compiled_or_eager("test", self.test_step))
        return self.test_function

    def make_predict_function(self, force: bool = False) -> Any:
        if self.predict_function is None or force:
            self.predict_function = _joined(self._compiled_or_eager("predict", self.predict_step))
        return self.predict_function

    def _compiled(self, name: str, step: Callable[[Batch], Any], record_anew: bool = False) -> Any:
        with paused():
            from keras_theano.execution.steps import Step

        def recorded(data: Batch) -> Any:
            try:
                return step(data)
            finally:
                # Layers keep values from a call, such as losses. They are symbolic, and mean nothing after
                # the call.
                self._clear_losses()

        return Step(f"{name} {self.name}", recorded, record_anew, self._batch_is_fixed())

    def _batch_is_fixed(self) -> bool:
        """Return whether the number of samples is part of the inputs, as in `Input(batch_shape=(32, 10))`."""
        try:
            inputs = tree.flatten(self.inputs)
        except AttributeError:  # only functional and sequential models know their inputs
            return False
        return bool(inputs) and all(len(x.shape) > 0 and x.shape[0] is not None for x in inputs)

    def _compiled_or_eager(self, name: str, step: Callable[[Batch], Any]) -> Callable[[Batch], Any]:
        """Return the compiled step. If it turns out that the step cannot be recorded, run it op by op
        instead, which is possible because it needs no gradients.
        """
        if self.run_eagerly:
            return step
        chosen: Callable[[Batch], Any] = self._compiled(name, step)

        def run(data: Batch) -> Any:
            nonlocal chosen
            if chosen is step:
                return step(data)
            try:
                return chosen(data)
            except NotImplementedError as refusal:
                warnings.warn(f"{name} runs op by op: {refusal}", RuntimeWarning, stacklevel=2)
                chosen = step
                return step(data)

        return run

    # -- loops ---------------------------------------------------------------------------------------

    @traceback_utils.filter_traceback  # type: ignore[untyped-decorator]
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> Any:
        self._assert_compile_called("fit")
        most_epochs = config.max_epochs()
        if most_epochs and most_epochs < epochs:
            warnings.warn(f"Limiting epochs to {most_epochs}", stacklevel=2)
            epochs = most_epochs
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = array_slicing.train_validation_split(
                (x, y, sample_weight), validation_split=validation_split
            )
        batches = _Batches(
            x=x,
            y=y,
            sample_weight=sample_weight,
            batch_size=batch_size,
            steps_per_epoch=steps_per_epoch,
            shuffle=shuffle,
            class_weight=class_weight,
            steps_per_execution=self.steps_per_execution,
        )
        self._build_from(batches)
        callbacks = self._callbacks(callbacks, verbose, batches, epochs, add_history=True)
        validate = self._validation(
            validation_data, validation_batch_size or batch_size, validation_steps, callbacks
        )
        self.make_train_function()
        self.stop_training = False
        self._eval_epoch_iterator = None
        logs: Logs = {}
        callbacks.on_train_begin()
        finished = False
        try:
            for epoch in range(self._initial_epoch or initial_epoch, epochs):
                logs = self._train_epoch(epoch, batches, callbacks)
                if validate is not None and self._should_eval(epoch, validation_freq):
                    logs.update(validate())
                callbacks.on_epoch_end(epoch, logs)
                if self.stop_training:
                    break
            finished = True
        finally:
            if isinstance(self.optimizer, optimizers_module.Optimizer) and epochs > 0:
                self.optimizer.finalize_variable_values(self.trainable_weights)
            self._eval_epoch_iterator = None
            if finished:
                callbacks.on_train_end(logs=logs)
        return self.history

    def _train_epoch(self, epoch: int, batches: EpochIterator, callbacks: Any) -> Logs:
        assert self.train_function is not None
        self.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        logs: Logs = {}
        with batches.catch_stop_iteration():
            for begin, end, data in batches:
                callbacks.on_train_batch_begin(begin)
                logs = self.train_function(data)
                callbacks.on_train_batch_end(end, logs)
                if self.stop_training:
                    break
        return dict(pythonify_logs(self._get_metrics_result_or_logs(logs)))

    def _validation(
        self, data: Any, batch_size: int | None, steps: int | None, callbacks: Any
    ) -> Callable[[], Logs] | None:
        """Return a function that evaluates the model on the validation data, or None if there are none. The
        iterator over its batches is made only once.
        """
        if data is None:
            return None
        x, y, sample_weight = data_adapter_utils.unpack_x_y_sample_weight(data)

        def validate() -> Logs:
            if self._eval_epoch_iterator is None:
                self._eval_epoch_iterator = _Batches(
                    x=x,
                    y=y,
                    sample_weight=sample_weight,
                    batch_size=batch_size,
                    steps_per_execution=self.steps_per_execution,
                    steps_per_epoch=steps,
                    shuffle=False,
                )
            logs = self.evaluate(callbacks=callbacks, return_dict=True, _use_cached_eval_dataset=True)
            return {f"val_{name}": value for name, value in logs.items()}

        return validate

    @traceback_utils.filter_traceback  # type: ignore[untyped-decorator]
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        self._assert_compile_called("evaluate")
        cached = kwargs.pop("_use_cached_eval_dataset", False)
        if kwargs:
            raise ValueError(f"Arguments not recognized: {kwargs}")
        batches = self._eval_epoch_iterator if cached else None
        if batches is None:
            batches = _Batches(
                x=x,
                y=y,
                sample_weight=sample_weight,
                batch_size=batch_size,
                steps_per_epoch=steps,
                shuffle=False,
                steps_per_execution=self.steps_per_execution,
            )
        self._build_from(batches)
        callbacks = self._callbacks(callbacks, verbose, batches)
        self.make_test_function()
        assert self.test_function is not None
        self.stop_evaluating = False
        callbacks.on_test_begin()
        self.reset_metrics()
        logs: Logs = {}
        for begin, end, data in batches:
            callbacks.on_test_batch_begin(begin)
            logs = self.test_function(data)
            callbacks.on_test_batch_end(end, logs)
            if self.stop_evaluating:
                break
        logs = pythonify_logs(self._get_metrics_result_or_logs(logs))
        callbacks.on_test_end(logs)
        return logs if return_dict else self._flatten_metrics_in_order(logs)

    @traceback_utils.filter_traceback  # type: ignore[untyped-decorator]
    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        batches = _Batches(
            x=x,
            batch_size=batch_size,
            steps_per_epoch=steps,
            shuffle=False,
            steps_per_execution=self.steps_per_execution,
        )
        callbacks = self._callbacks(callbacks, verbose, batches)
        self.make_predict_function()
        assert self.predict_function is not None
        self.stop_predicting = False
        callbacks.on_predict_begin()
        outputs: list[Any] = []
        for begin, end, data in batches:
            callbacks.on_predict_batch_begin(begin)
            outputs.append(self.predict_function(data))
            callbacks.on_predict_batch_end(end, {"outputs": outputs[-1]})
            if self.stop_predicting:
                break
        callbacks.on_predict_end()
        if not outputs:
            raise ValueError("predict received no data. Pass at least one sample.")
        return _concatenated(outputs)

    def _callbacks(
        self,
        callbacks: Any,
        verbose: Any,
        batches: EpochIterator,
        epochs: int = 1,
        add_history: bool = False,
    ) -> Any:
        """Return Keras's list of callbacks for `epochs` passes over `batches`. A list that the caller already
        made is returned as it is, because `fit` passes its own to `evaluate`.

        verbose: the list gets a progress bar unless this is 0.
        add_history: whether the list records the logs of each epoch in `self.history`.
        """
        if isinstance(callbacks, callbacks_module.CallbackList):
            return callbacks
        return callbacks_module.CallbackList(
            callbacks,
            add_history=add_history,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=epochs,
            steps=batches.num_batches,
            model=self,
        )

    @traceback_utils.filter_traceback  # type: ignore[untyped-decorator]
    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        self._assert_compile_called("train_on_batch")
        if class_weight is not None:
            if sample_weight is not None:
                raise ValueError(
                    "Arguments `sample_weight` and `class_weight` cannot be specified at the same time. "
                    f"Received: sample_weight={sample_weight}, class_weight={class_weight}"
                )
            sample_weight = data_adapter_utils.class_weight_to_sample_weights(y, class_weight)
        data = _as_arrays((x, y, sample_weight))
        self._symbolic_build(data)
        self.make_train_function()
        self.reset_metrics()
        assert self.train_function is not None
        logs = pythonify_logs(self.train_function([data]))
        return logs if return_dict else self._flatten_metrics_in_order(logs)

    @traceback_utils.filter_traceback  # type: ignore[untyped-decorator]
    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        self.reset_metrics()
        return super().test_on_batch(*_as_arrays((x, y, sample_weight)), return_dict=return_dict)

    @traceback_utils.filter_traceback  # type: ignore[untyped-decorator]
    def predict_on_batch(self, x: Any) -> Any:
        return super().predict_on_batch(_as_arrays(x))

    def _build_from(self, batches: EpochIterator) -> None:
        """Create all variables of the model, its metrics and its optimizer, using the first batch if one is
        needed. Then start over with the batches, including those of an earlier pass.
        """
        # This takes one batch instead of one execution, because Keras puts back at most the first two batches
        # of a generator.
        self._symbolic_build(iterator=batches._enumerate_iterator())
        batches.reset()

    def _symbolic_build(self, data_batch: Batch = None, iterator: Any = None) -> None:
        # The NumPy backend's method builds no optimizer and hides errors in layers.
        base_trainer()._symbolic_build(self, iterator=iterator, data_batch=data_batch)

    def __getstate__(self) -> dict[str, Any]:
        # Compiled functions belong to this process. When Keras pickles or copies a model, it goes through a
        # file.
        state = dict(self.__dict__)
        state.update(train_function=None, test_function=None, predict_function=None)
        return state


Trainer = TheanoTrainer  # the name that Keras 3.16 looks for


class _Batches(EpochIterator):  # type: ignore[misc]
    """An iterator over batches without two faults of Keras's own. That one warns that data ran out if the
    last execution has fewer batches than the others, and it loses prefetched batches when it is reset.
    """

    data_adapter: Any

    def __next__(self) -> tuple[int, int, list[Batch]]:
        begin, end, iterator = next(self._epoch_iterator)
        batches = list(islice(iterator, self.steps_per_execution))
        if not batches:
            with self.catch_stop_iteration():
                raise StopIteration
            raise StopIteration
        return begin, end, batches

    def reset(self) -> None:
        super().reset()
        adapter = self.data_adapter
        # The workers of Keras keep prefetched batches, and the next pass would start with those.
        if getattr(adapter, "enqueuer", None) is not None:
            self.data_adapter = type(adapter)(
                adapter.py_dataset, class_weight=adapter.class_weight, shuffle=adapter.shuffle
            )


def _last_of(step: Callable[[Batch], Any]) -> Callable[[list[Batch]], Any]:
    def execute(batches: list[Batch]) -> Any:
        for batch in batches:
            logs = step(batch)
        return logs

    return execute


def _joined(step: Callable[[Batch], Any]) -> Callable[[list[Batch]], Any]:
    def execute(batches: list[Batch]) -> Any:
        outputs = [step(batch) for batch in batches]
        return outputs[0] if len(outputs) == 1 else _concatenated(outputs)

    return execute


def _concatenated(outputs: list[Any]) -> Any:
    """Concatenate nested structures of arrays that have the same structure. The result consists of new
    arrays.
    """
    return tree.map_structure(lambda *parts: np.asarray(np.concatenate(parts)), *outputs)


def _as_arrays(data: Any) -> Any:
    with trace.opened(None):
        return tree.map_structure(
            lambda leaf: (
                leaf if leaf is None or isinstance(leaf, np.ndarray) else core.convert_to_tensor(leaf)
            ),
            data,
        )
