"""Interrupted training resumes to the same bits."""

import contextlib
import errno
import multiprocessing
import os
import pickle
import random
import resource
import shutil
import signal
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_bell import BELLPretrainer
from sklearn_bell.exceptions import CheckpointWarning, DivergenceError
from sklearn_bell.persistence._format import read_file
from sklearn_bell.training import Checkpoint
from sklearn_bell.training._trainer import Trainer
from tests.training._estimators import (
    ESTIMATORS,
    SMALL,
    X,
    assert_same_outcome,
    callback_at_step,
    fit_outcome,
    raise_interrupt,
    train_in_child,
    y_few,
)

N_KILLS = int(os.environ.get("SKLEARN_BELL_KILLS", "3"))


@pytest.fixture
def bell(tmp_path):
    return BELLPretrainer(**SMALL, random_state=0, checkpoint=tmp_path / "states")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "states"


def fitted_states(folder):
    """Return the paths of all states, the newest last."""
    return sorted(folder.glob("*/epoch-*.safetensors"))


def uninterrupted(estimator):
    return fit_outcome(clone(estimator).set_params(checkpoint=None))


def interrupt_at(step, estimator):
    """Interrupt a fit in a step, as Ctrl-C does."""
    with callback_at_step(step, raise_interrupt), pytest.raises(KeyboardInterrupt):
        fit_outcome(estimator)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_interrupted_fit_resumes_to_the_same_bits(name, tmp_path):
    with callback_at_step(0, None) as n_steps:
        expected = fit_outcome(clone(ESTIMATORS[name]))
    rng = random.Random(name)
    estimator = clone(ESTIMATORS[name]).set_params(checkpoint=tmp_path)
    for _ in range(2):  # the second time, it may resume from a state
        with callback_at_step(rng.randint(1, n_steps[0]), raise_interrupt):  # noqa: SIM117
            with contextlib.suppress(KeyboardInterrupt):
                fit_outcome(clone(estimator))
    assert_same_outcome(fit_outcome(clone(estimator)), expected)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_finished_fit_takes_no_step(name, tmp_path, monkeypatch):
    estimator = clone(ESTIMATORS[name]).set_params(checkpoint=tmp_path)
    expected = fit_outcome(clone(estimator))
    monkeypatch.setattr(Trainer, "fit_loop", None)
    assert_same_outcome(fit_outcome(estimator), expected)


def test_finished_classifier_makes_no_pseudo_labels(tmp_path, monkeypatch):
    classifier = clone(ESTIMATORS["ECGClassifier"]).set_params(checkpoint=tmp_path)
    expected = classifier.fit(X, y_few).predict_proba(X)
    monkeypatch.setattr(type(classifier), "_with_pseudo_labels", None)
    np.testing.assert_array_equal(clone(classifier).fit(X, y_few).predict_proba(X), expected)


@pytest.mark.parametrize("step", [4, 6, 7, 9])
def test_interrupted_fit_loses_at_most_the_epoch(step, bell, folder):
    interrupt_at(step, bell)
    assert [path.stem for path in fitted_states(folder)] == [
        f"epoch-{epoch:06}" for epoch in range(1, (step - 1) // 3 + 1)
    ]
    assert len(bell.history_) == (step - 1) // 3
    with callback_at_step(0, None) as n_steps:
        fit_outcome(bell)
    assert n_steps[0] == 9 - 3 * ((step - 1) // 3)


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("n_calls", [1, 2, 3, 5])
def test_fit_killed_while_writing_resumes_to_the_same_bits(function, n_calls, bell, monkeypatch):
    calls, usual = [], getattr(os, function)

    def call(*args):
        calls.append(args)
        if len(calls) == n_calls:
            raise KeyboardInterrupt
        return usual(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, function, call)
        patch.setattr(Path, "unlink", lambda path, **kwargs: None)  # nobody cleans up
        with contextlib.suppress(KeyboardInterrupt):
            bell.fit(X)
    assert_same_outcome(fit_outcome(bell), uninterrupted(bell))


CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["tests.training._estimators"])


def start_child(name, folder, path):
    is_ready = CHILDREN.Event()
    process = CHILDREN.Process(target=train_in_child, args=(name, folder, path, is_ready))
    process.start()
    assert is_ready.wait(120)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("name", ESTIMATORS)
def test_killed_process_resumes_to_the_same_bits(name, tmp_path):
    process, start = start_child(name, tmp_path / "whole", tmp_path / "expected"), time.monotonic()
    process.join()
    duration = time.monotonic() - start
    expected = pickle.loads((tmp_path / "expected").read_bytes())
    rng = random.Random(name)
    for _ in range(N_KILLS):
        process = start_child(name, tmp_path / "states", tmp_path / "observed")
        process.join(rng.uniform(0, duration))
        process.kill()
        process.join()
        if process.exitcode == 0:  # it was faster: start again
            shutil.rmtree(tmp_path / "states")
    start_child(name, tmp_path / "states", tmp_path / "observed").join()
    assert_same_outcome(pickle.loads((tmp_path / "observed").read_bytes()), expected)


@pytest.mark.parametrize("name", ["BELLPretrainer", "ECGClassifier"])
def test_finished_fit_is_extended(name, tmp_path):
    estimator = clone(ESTIMATORS[name]).set_params(checkpoint=tmp_path)
    for max_epochs in (2, 4, 1, 5):  # the state of one epoch has been removed by then
        estimator.set_params(max_epochs=max_epochs)
        assert_same_outcome(fit_outcome(clone(estimator)), uninterrupted(estimator))
    assert len(list(tmp_path.glob(f"{name}-*"))) == 1


@pytest.mark.parametrize(
    ("epochs", "names"), [(1, ["epoch-000004", "epoch-000005"]), (9, ["epoch-000005"])]
)
def test_two_states_are_kept(epochs, names, bell, folder):
    bell.set_params(max_epochs=5, checkpoint=Checkpoint(folder, epochs=epochs)).fit(X)
    assert [path.stem for path in fitted_states(folder)] == names
    assert [path.name for path in folder.glob("*/seed*")] == ["seed.safetensors"]


def flip_bit(data):
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


DAMAGES = {
    "flipped": flip_bit, "truncated": lambda data: data[:-1], "empty": lambda data: b"",
    "other": lambda data: b"nothing",
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_state_is_replaced_by_the_previous_one(damage, bell, folder):
    expected = fit_outcome(clone(bell))
    newest = fitted_states(folder)[-1]
    newest.write_bytes(DAMAGES[damage](newest.read_bytes()))
    match = rf"{newest.name}: it is damaged.*previous checkpoint"
    with pytest.warns(CheckpointWarning, match=match) as record:
        assert_same_outcome(fit_outcome(clone(bell)), expected)
    assert record[0].filename == str(Path(__file__).with_name("_estimators.py"))
    assert_same_outcome(fit_outcome(clone(bell)), expected)  # it was written again


def test_all_states_damaged_starts_again(bell, folder):
    expected = fit_outcome(clone(bell))
    for path in fitted_states(folder):
        path.write_bytes(b"")
    with pytest.warns(CheckpointWarning, match="it is damaged"):
        assert_same_outcome(fit_outcome(clone(bell)), expected)


def test_unreadable_state_is_replaced_by_the_previous_one(bell, folder, monkeypatch):
    expected = fit_outcome(clone(bell))
    newest, usual = fitted_states(folder)[-1], Path.read_bytes

    def read_bytes(path):
        if path == newest:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return usual(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.warns(CheckpointWarning, match="Input/output error"):
        assert_same_outcome(fit_outcome(clone(bell)), expected)


def test_state_of_another_training_is_refused(bell, folder, tmp_path):
    other = clone(bell).set_params(lr=0.01, max_epochs=1, checkpoint=tmp_path / "other").fit(X)
    bell.fit(X)
    shutil.copy(fitted_states(folder)[-1], next((tmp_path / "other").iterdir()))
    with pytest.warns(CheckpointWarning, match="belongs to another training"):
        assert_same_outcome(fit_outcome(other.set_params(max_epochs=3)), uninterrupted(other))


def test_random_state_none_resumes_with_the_first_seed(tmp_path):
    classifier = clone(ESTIMATORS["ECGClassifier"]).set_params(
        random_state=None, checkpoint=tmp_path
    )
    interrupt_at(12, clone(classifier))
    expected = fit_outcome(clone(classifier))
    assert_same_outcome(fit_outcome(clone(classifier)), expected)
    assert len(list(tmp_path.iterdir())) == 2  # of the classifier and its pretrainer


def test_damaged_seed_is_taken_from_the_newest_state(tmp_path):
    bell = BELLPretrainer(**SMALL, random_state=None, checkpoint=tmp_path)
    expected = fit_outcome(clone(bell))
    (path,) = tmp_path.glob("*/seed*")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(CheckpointWarning, match="another seed, the one of the newest state"):
        assert_same_outcome(fit_outcome(clone(bell)), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same_outcome(fit_outcome(clone(bell)), expected)


def test_damaged_seed_without_state_is_replaced(bell, folder):
    with callback_at_step(1, raise_interrupt), pytest.raises(KeyboardInterrupt):
        bell.set_params(random_state=None).fit(X)
    next(folder.glob("*/seed*")).write_bytes(b"")
    with pytest.warns(CheckpointWarning, match="another seed, a new one"):
        expected = fit_outcome(clone(bell))
    assert_same_outcome(fit_outcome(clone(bell)), expected)


class NaNGradient(torch.autograd.Function):
    """Identity whose gradient is NaN."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * torch.nan


class DivergingEncoder(torch.nn.Module):
    """Encoder that diverges in the second epoch."""

    def __init__(self, in_channels):
        super().__init__()
        self.layer = torch.nn.Linear(8, 4)
        self.register_buffer("n_calls", torch.zeros(()))

    def forward(self, x):
        self.n_calls += self.training
        latents = self.layer(x[..., :8].flatten(1))
        return latents if self.n_calls < 8 else NaNGradient.apply(latents)


def test_diverged_weights_are_never_stored(bell, folder):
    bell.set_params(encoder=DivergingEncoder, shared_encoder=True, max_epochs=6)
    for _ in range(2):  # the second fit resumes
        with pytest.raises(DivergenceError, match="in epoch 2, step"):
            bell.fit(X)
        assert len(bell.history_) == 1
        assert np.isfinite(bell.transform(X)).all()
        for path in fitted_states(folder):
            weights = read_file(path, "checkpoint")["net"]["weights"].values()
            assert all(torch.isfinite(weight).all() for weight in weights)


def test_search_keeps_candidates_and_folds_apart(tmp_path):
    def search(checkpoint):
        bell = BELLPretrainer(**SMALL, random_state=0, checkpoint=checkpoint)
        grid = {"bellpretrainer__lr": [1e-3, 1e-2], "bellpretrainer__max_epochs": [1, 2]}
        pipeline = make_pipeline(bell, LogisticRegression())
        results = GridSearchCV(pipeline, grid, cv=2, scoring="neg_log_loss").fit(X, y_few)
        return results.cv_results_["mean_test_score"]

    expected = search(None)
    np.testing.assert_array_equal(search(tmp_path), expected)
    np.testing.assert_array_equal(search(tmp_path), expected)  # all finished
    assert len(list(tmp_path.iterdir())) == 2 * 2 + 1  # rates, folds, and the refit


def test_full_disk_keeps_the_previous_state(bell, folder, monkeypatch):
    expected = uninterrupted(bell)
    bell.set_params(max_epochs=2).fit(X)

    def fsync(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match=r"Could not write .* MB \(No space left") as error:
            bell.set_params(max_epochs=3).fit(X)
    assert "epoch-000003" in error.value.filename
    assert len(bell.history_) == 3  # the trained network is there
    assert np.isfinite(bell.transform(X)).all()
    assert_same_outcome(fit_outcome(clone(bell)), expected)


def test_file_size_limit_keeps_the_previous_state(bell, folder):
    expected = uninterrupted(bell)
    bell.set_params(max_epochs=1).fit(X)
    (state,) = fitted_states(folder)
    content, limits = state.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match=r"Could not write .* MB \(File too large"):
            bell.set_params(max_epochs=3).fit(X)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(folder.glob("*/*epoch-*")) == [state]
    assert state.read_bytes() == content
    assert_same_outcome(fit_outcome(clone(bell)), expected)


def test_read_only_folder_keeps_the_previous_state(bell):
    expected = uninterrupted(bell)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)  # for a user other than root, who may write everywhere
        bell.set_params(max_epochs=1, checkpoint=Path(name, "states")).fit(X)
        (subfolder,) = Path(name, "states").iterdir()
        subfolder.chmod(0o555)
        user = os.geteuid()
        os.seteuid(user or 65534)
        try:
            with pytest.raises(OSError, match=r"Could not write .* MB \(Permission denied"):
                bell.set_params(max_epochs=3).fit(X)
        finally:
            os.seteuid(user)
            subfolder.chmod(0o755)
        assert len(bell.history_) == 2
        assert_same_outcome(fit_outcome(clone(bell)), expected)


def test_folder_that_cannot_be_made_raises_before_training(bell, tmp_path):
    (tmp_path / "file").touch()
    with callback_at_step(1, pytest.fail), pytest.raises(OSError, match="file"):
        bell.set_params(checkpoint=tmp_path / "file" / "folder").fit(X)


def test_checkpoint_epochs_below_one_raises():
    with pytest.raises(ValueError, match="Expected epochs to be at least 1, got 0"):
        Checkpoint("folder", epochs=0)


def test_checkpoint_leaves_signal_handlers_alone(bell):
    handler = signal.getsignal(signal.SIGINT)
    bell.fit(X)
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("name", ["BELLPretrainer", "VQVAETransformer", "ECGClassifier"])
def test_pickle_holds_no_records(name):
    estimator = clone(ESTIMATORS[name]).fit(X, y_few)
    data = pickle.dumps(estimator)
    assert not any(record.tobytes() in data for record in X[:, 1])
