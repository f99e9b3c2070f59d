"""The training loop of pretraining, fine-tuning, VQ-VAE and code prior."""

from __future__ import annotations

import contextlib
import time

from skorch.callbacks import Callback

from sklearn_bell.training._device import cache_on_device
from sklearn_bell.training._distributed import SINGLE_PROCESS, current_processes


def fit_loop(
    trainer,
    X,
    y=None,
    *,
    last_epoch,
    history,
    reporter,
    callbacks=(),
    manager=None,
    extra_state=dict,
    processes=SINGLE_PROCESS,
):
    """Train up to an epoch; after each, add to the history, report, and store the state.

    Callbacks of scikit-learn stop the training as the reporter asks them, those of skorch by
    setting ``trainer.stop_training_``. A checkpoint also holds ``extra_state()``.
    """
    is_resumed, trainer.is_resumed_ = trainer.is_resumed_, False
    # a resumed training may have been stopped at its last epoch: ask the callbacks again
    if is_resumed and processes.broadcast(reporter.ask_to_stop(history)):
        return
    if trainer.epoch_ >= last_epoch:
        return
    n_reads = (last_epoch - trainer.epoch_) * min(len(X), trainer.epoch_size or len(X))
    X = cache_on_device(X, trainer.device, n_reads // processes.size)
    with _run_settings(trainer, callbacks, processes):
        is_last = False
        while not is_last:
            reporter.begin_epoch()
            start = time.perf_counter()
            trainer.fit_loop(X, y, epochs=1)
            entry = {k: v for k, v in trainer.history[-1].items() if k != "batches"}
            history.append({**entry, "duration": time.perf_counter() - start})
            stop = reporter.end_epoch(history, last_epoch) or trainer.stop_training_
            is_last = processes.broadcast(stop) or trainer.epoch_ == last_epoch
            is_due = manager is not None and (is_last or trainer.epoch_ % manager.epochs == 0)
            if is_due and current_processes().rank == 0:
                state = {"net": trainer.get_state(), "history": history, **extra_state()}
                manager.save(trainer.epoch_, state)


def resume(trainer, history, manager, max_epochs, processes=SINGLE_PROCESS):
    """Resume from the newest state of at most that many epochs, if there is one."""
    if (state := newest_state(manager, max_epochs, processes)) is not None:
        load_state(trainer, history, state)


def newest_state(manager, max_epochs, processes=SINGLE_PROCESS):
    """Return the newest state, or None; of several processes the first one reads it."""
    is_read = manager is not None and processes.rank == 0
    return processes.broadcast(manager.newest(max_epochs) if is_read else None)


def load_state(trainer, history, state):
    """Restore the trainer and the history."""
    trainer.set_state(state["net"])
    trainer.is_resumed_ = True
    history[:] = state["history"]


@contextlib.contextmanager
def _run_settings(trainer, callbacks, processes):
    """Give the trainer the callbacks and processes of a run, and remove them afterwards."""
    with processes.parallel(trainer.module_) as module:
        trainer.processes_, trainer.call_module_ = processes, module.__call__
        trainer.stop_training_, trainer.callbacks = False, list(callbacks)
        trainer.initialize_callbacks()
        try:
            yield
        finally:
            trainer.processes_, trainer.call_module_ = SINGLE_PROCESS, None
            # batches hold the records, and an interrupted epoch a copy of the weights
            trainer.batches_ = trainer.callbacks = trainer.start_weights_ = None
            trainer.initialize_callbacks()


class LRSchedule(Callback):
    """Multiply the learning rate by a factor of the epoch, counted from zero."""

    def __init__(self, lr, factor):
        self.lr, self.factor = lr, factor

    def on_epoch_begin(self, net, **kwargs):
        """Set the learning rate of the epoch."""
        net.set_params(lr=self.lr * self.factor(net.epoch_))


class Reporter:
    """Reports epochs: to scikit-learn's callbacks, if there is a context, and as printed lines."""

    def __init__(self, name, verbose, estimator=None, context=None, X=None):
        self.name, self.verbose = name, verbose
        self.context, self.arguments = context, {"estimator": estimator, "X": X}

    def begin_epoch(self):
        """Announce an epoch."""
        if self.context is not None:
            self.task = self.context.subcontext(task_name="epoch")
            self.task.call_on_fit_task_begin(**self.arguments)

    def end_epoch(self, history, last_epoch):
        """Report the newest epoch; return True if a callback asks to stop."""
        stop, entry = self._end_task(history), history[-1]
        if self.verbose:
            number, result = entry["epoch"], f"{entry['loss']:.4g}, {entry['duration']:.1f} s"
            print(f"[{self.name}] epoch {number} of {last_epoch}: loss {result}", flush=True)
        return stop

    def ask_to_stop(self, history):
        """Show the callbacks the last epoch of a resumed training; return True if one stops it."""
        self.begin_epoch()
        return self._end_task(history)

    def _end_task(self, history):
        return self.context is not None and self.task.call_on_fit_task_end(
            **self.arguments, metadata=history[-1], reconstruction_attributes=dict
        )


@contextlib.contextmanager
def fit_context(estimator, max_tasks, X, task_name=None, parent=None):
    """Open a callback context for a fit or one of its tasks; yield it, or None in other processes.

    Of several processes only the first one has callbacks and prints.
    """
    if current_processes().rank > 0:
        yield None
        return
    if parent is None:
        context = estimator._init_callback_context(max_subtasks=max_tasks)
    else:
        context = parent.subcontext(task_name=task_name, max_subtasks=max_tasks)
    context.call_on_fit_task_begin(estimator=estimator, X=X)
    yield context
    context.call_on_fit_task_end(estimator=estimator, X=X, reconstruction_attributes=dict)
