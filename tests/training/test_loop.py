"""Training loop: reports, callbacks and states."""

import numpy as np
import pytest
from skorch.callbacks import Callback

from sklearn_bell import BELLPretrainer, ECGClassifier, VQVAETransformer
from sklearn_bell.training._loop import LRSchedule, Reporter, fit_loop, resume
from tests.training._estimators import SMALL, VQVAE, y
from tests.training._estimators import X as ECG
from tests.training.test_trainer import X, make_trainer


class Manager:
    """Keeps states in memory."""

    def __init__(self, epochs):
        self.epochs, self.states = epochs, {}

    def save(self, epoch, state):
        self.states[epoch] = state

    def newest(self, max_epochs):
        return self.states.get(max(self.states, default=0))


class Recorder:
    """Callback of scikit-learn that notes tasks, and stops after an epoch."""

    max_propagation_depth = None

    def __init__(self, last_epoch=None):
        self.last_epoch, self.tasks, self.epochs = last_epoch, [], []

    def setup(self, estimator, context):
        self.tasks, self.epochs = [], []

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **kwargs):
        self.tasks.append(context.task_name)

    def on_fit_task_end(self, estimator, context, *, metadata=None, **kwargs):
        if context.task_name == "epoch":
            self.epochs.append(metadata["epoch"])
            return metadata["epoch"] == self.last_epoch
        return False


def run(trainer, last_epoch, history=None, **options):
    history = [] if history is None else history
    options = {"reporter": Reporter("", False), **options}
    fit_loop(trainer, X, last_epoch=last_epoch, history=history, **options)
    return [entry["epoch"] for entry in history]


def test_loop_trains_to_last_epoch():
    trainer = make_trainer()
    assert run(trainer, 2) == [1, 2]
    assert run(trainer, 2) == []
    assert run(trainer, 3) == [3]


@pytest.mark.parametrize(("epochs", "saved"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (9, [5])])
def test_states_are_saved_when_due_and_at_the_end(epochs, saved):
    manager = Manager(epochs)
    run(make_trainer(), 5, manager=manager)
    assert list(manager.states) == saved


def test_state_holds_extra_state():
    manager = Manager(1)
    run(make_trainer(), 1, manager=manager, extra_state=lambda: {"extra": 3})
    assert manager.states[1].keys() == {"net", "history", "extra"}


class Stopper(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.stop_training_ |= net.epoch_ == 2


def test_skorch_callbacks_stop_the_training_and_leave():
    trainer, manager = make_trainer(), Manager(5)
    assert run(trainer, 5, callbacks=[Stopper()], manager=manager) == [1, 2]
    assert list(manager.states) == [2]
    assert run(trainer, 5) == [3, 4, 5]


def test_lr_schedule_sets_the_rate_of_every_epoch():
    rates = []

    class Rates(Callback):
        def on_epoch_end(self, net, **kwargs):
            rates.append(net.optimizer_.param_groups[0]["lr"])

    schedule = LRSchedule(0.1, lambda epoch: 1 - epoch / 4)
    run(make_trainer(), 3, callbacks=[schedule, Rates()])
    assert rates == pytest.approx([0.1, 0.075, 0.05])


def test_resume_restores_trainer_and_history():
    manager, history = Manager(1), []
    run(make_trainer(), 2, manager=manager)
    trainer = make_trainer(seed=9)
    resume(trainer, history, manager, 5)
    assert (trainer.epoch_, trainer.seed) == (2, 0)
    assert run(trainer, 3, history) == [1, 2, 3]


def test_resume_without_state_changes_nothing():
    trainer, history = make_trainer(), []
    resume(trainer, history, None, 5)
    resume(trainer, history, Manager(1), 5)
    assert (trainer.epoch_, history) == (0, [])


def test_verbose_prints_a_line_per_epoch(capsys):
    run(make_trainer(), 2, reporter=Reporter("Name", True))
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("[Name] epoch 1 of 2: loss ")
    assert second.startswith("[Name] epoch 2 of 2: loss ")


ESTIMATORS = {
    "pretrainer": BELLPretrainer(**SMALL),
    "vqvae": VQVAETransformer(**VQVAE, max_epochs=3),
    "classifier": ECGClassifier(
        BELLPretrainer(**{**SMALL, "max_epochs": 0}), max_epochs=3, n_trees=0
    ),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_sklearn_callbacks_stop_the_training(name):
    recorder = Recorder(last_epoch=2)
    estimator = ESTIMATORS[name].set_callbacks(recorder).fit(ECG, y)
    assert recorder.epochs == [1, 2]
    assert len(estimator.history_) == 2
    assert recorder.tasks[0] == "fit"


@pytest.mark.parametrize("name", ESTIMATORS)
def test_sklearn_callbacks_are_asked_again_after_resume(name, tmp_path):
    recorder = Recorder(last_epoch=2)
    estimator = ESTIMATORS[name].set_params(checkpoint=tmp_path, random_state=0)
    estimator.set_callbacks(recorder).fit(ECG, y).fit(ECG, y)
    assert recorder.epochs == [2]  # stopped there, without training again
    assert len(estimator.history_) == 2


def test_sklearn_callbacks_see_the_last_epoch_of_a_finished_run(tmp_path):
    recorder = Recorder()
    bell = BELLPretrainer(**SMALL, checkpoint=tmp_path, random_state=0).set_callbacks(recorder)
    bell.fit(ECG).fit(ECG)
    assert recorder.epochs == [3]
    bell.set_params(max_epochs=4).fit(ECG)
    assert recorder.epochs == [3, 4]


def test_warm_start_with_checkpoint_continues(tmp_path):
    recorder, params = Recorder(), {"n_trees": 0, "max_epochs": 2, "random_state": 0}
    classifier = ECGClassifier(warm_start=True, checkpoint=tmp_path, **params)
    expected = ECGClassifier(warm_start=True, **params)
    for estimator in (classifier, expected):
        estimator.set_callbacks(recorder).fit(ECG, y).fit(ECG, y)
        assert recorder.epochs == [3, 4]
    np.testing.assert_array_equal(classifier.predict_proba(ECG), expected.predict_proba(ECG))
