"""Early stopping: the unit, and ECGClassifier with it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator

from sklearn_bell import BELLPretrainer
from sklearn_bell._utils.labels import hold_out
from sklearn_bell.classification import _fine_tuning
from sklearn_bell.classification._early_stopping import EarlyStopping
from sklearn_bell.exceptions import InvalidECGError
from tests.classification._cases import (
    N_LEADS,
    N_RECORDS,
    N_SAMPLES,
    make_spy,
    tiny_classifier,
)


class History(list):
    def record(self, name, value):
        self.append({name: value})


class FakeNet:
    """A network whose held-out loss is its only weight."""

    def __init__(self):
        self.module_ = SimpleNamespace(
            loss=lambda logits, targets: self.weight,
            state_dict=lambda: {"weight": self.weight},
        )
        self.device, self.history = torch.device("cpu"), History()
        self.epoch_, self.stop_training_ = 0, False

    def end_epoch(self, early_stopping, loss):
        self.epoch_, self.weight = self.epoch_ + 1, torch.tensor(loss)
        early_stopping.on_epoch_end(self)


def make_early_stopping(n_iter_no_change=2, n_frozen_epochs=0):
    records, targets = np.zeros((3, 1)), np.zeros((3, 2))
    predict = torch.from_numpy
    return EarlyStopping(records, targets, predict, n_iter_no_change, n_frozen_epochs)


def run(early_stopping, losses):
    """Return the network after the epochs until it is stopped."""
    net = FakeNet()
    for loss in losses:
        net.end_epoch(early_stopping, loss)
        if net.stop_training_:
            break
    return net


class TestEarlyStopping:
    @pytest.mark.parametrize(
        ("losses", "n_frozen_epochs", "best_epoch", "n_epochs"),
        [
            ([3, 2, 1], 0, 3, 3),
            ([3, 1, 2, 2, 0], 0, 2, 4),
            ([1, 1, 1, 1], 0, 1, 3),
            ([3, 2, np.nan, np.nan, 1], 0, 2, 4),
            ([1, 2, 2, 2, 2, 2, 2], 3, 1, 5),
        ],
        ids=["falling", "rising", "equal", "nan", "frozen"],
    )
    def test_best_epoch_is_kept_and_ends_training(
        self, losses, n_frozen_epochs, best_epoch, n_epochs
    ):
        early_stopping = make_early_stopping(n_frozen_epochs=n_frozen_epochs)
        losses = [float(loss) for loss in losses]
        net = run(early_stopping, losses)
        assert (early_stopping.best["epoch"], net.epoch_) == (best_epoch, n_epochs)
        assert early_stopping.best["weights"]["weight"] == losses[best_epoch - 1]
        recorded = [entry["valid_loss"] for entry in net.history]
        np.testing.assert_array_equal(recorded, losses[:n_epochs])

    def test_state_resumes(self):
        losses = [3.0, 1.0, 2.0, 2.0, 2.0]
        whole, first, second = (make_early_stopping(n_iter_no_change=3) for _ in range(3))
        expected = run(whole, losses)
        net = run(first, losses[:3])
        second.best = first.best
        while not net.stop_training_:
            net.end_epoch(second, losses[net.epoch_])
        assert net.epoch_ == expected.epoch_ == 5
        assert second.best == whole.best

    def test_weights_are_copied(self):
        early_stopping, net = make_early_stopping(), FakeNet()
        net.end_epoch(early_stopping, 1.0)
        net.weight += 5
        assert early_stopping.best["weights"]["weight"] == 1.0


class TestClassifier:
    def test_best_epoch_is_kept(self, X, y):
        noisy = np.where(np.arange(N_RECORDS) % 5, y, 0)  # some labels are wrong
        params = {"max_epochs": 60, "early_stopping": True, "n_iter_no_change": 4, "lr": 0.01}
        params |= {"encoder_lr": 0.005, "validation_fraction": 0.3}
        classifier = tiny_classifier(**params).fit(X, noisy)
        losses = [entry["valid_loss"] for entry in classifier.history_]
        assert classifier.best_epoch_ == 1 + int(np.argmin(losses)) > 1
        assert len(losses) == classifier.best_epoch_ + 4 < 60
        shorter = tiny_classifier(**{**params, "max_epochs": classifier.best_epoch_})
        np.testing.assert_array_equal(
            shorter.fit(X, noisy).predict_proba(X), classifier.predict_proba(X)
        )

    def test_start_is_kept_if_no_epoch_is_better(self, X, y, pretrained):
        shuffled = np.random.default_rng(0).permutation(y)
        params = {"early_stopping": True, "n_iter_no_change": 2, "validation_fraction": 0.3}
        params |= {"pretrainer": FrozenEstimator(pretrained), "C": 1e-6}
        classifier = tiny_classifier(**params, lr=1.0).fit(X, shuffled)
        assert classifier.best_epoch_ == 0
        assert len(classifier.history_) == 2
        start = tiny_classifier(**params, max_epochs=0).fit(X, shuffled)
        np.testing.assert_array_equal(classifier.predict_proba(X), start.predict_proba(X))

    def test_frozen_epochs_do_not_count(self, X, y):
        params = {"n_frozen_epochs": 5, "n_iter_no_change": 1, "lr": 1e-9, "encoder_lr": 1e-9}
        classifier = tiny_classifier(early_stopping=True, **params)
        classifier.fit(X, np.random.default_rng(0).permutation(y))
        assert len(classifier.history_) > 5

    def test_groups_are_held_out_as_a_whole(self, X, y, monkeypatch):
        sides = []

        def spy(codes, groups, fraction, seed):
            rows = hold_out(codes, groups, fraction, seed)
            sides.extend(set(groups[part]) for part in rows)
            return rows

        monkeypatch.setattr(_fine_tuning, "hold_out", spy)
        groups = np.arange(N_RECORDS) // 4
        tiny_classifier(early_stopping=True, max_epochs=2).fit(X, y, groups=groups)
        train, test = sides
        assert not train & test
        assert len(train | test) == 12

    def test_unlabelled_records_of_held_out_patients_are_left_out(self, X, y, pretrained):
        groups = np.arange(N_RECORDS) // 2  # one record of each patient is labelled
        half_labelled = np.where(np.arange(N_RECORDS) % 2 == 0, y, -1)
        normalized = pretrained.encoder_[0](torch.from_numpy(X))
        spy = make_spy()
        classifier = tiny_classifier(FrozenEstimator(pretrained), augmentation=spy, max_epochs=2)
        classifier.set_params(early_stopping=True, validation_fraction=0.25)
        classifier.fit(X, half_labelled, groups=groups)
        x = torch.cat(spy.records[1:])  # after the dry run
        rows = (x[:, None] - normalized).abs().sum((2, 3)).argmin(dim=1).unique().numpy()
        assert len(rows) == N_RECORDS * 3 / 4
        assert len(np.unique(groups[rows])) == len(rows) / 2

    def test_warm_start_holds_out_the_same_records(self, X, y, pretrained, monkeypatch):
        held_out = []

        def spy(*args):
            train, test = hold_out(*args)
            held_out.append(test.tolist())
            return train, test

        monkeypatch.setattr(_fine_tuning, "hold_out", spy)
        classifier = tiny_classifier(FrozenEstimator(pretrained), early_stopping=True, max_epochs=1)
        classifier.set_params(warm_start=True, random_state=None)
        classifier.fit(X, y).fit(X, y)
        assert held_out[0] == held_out[1]

    def test_groups_of_another_length_raise_before_pretraining(self, X, y, monkeypatch):
        monkeypatch.setattr(BELLPretrainer, "fit", lambda self, X: pytest.fail("pretrained"))
        with pytest.raises(InvalidECGError, match=r"groups.*5.*48"):
            tiny_classifier(early_stopping=True).fit(X, y, groups=np.zeros(5))

    def test_sampler_sees_the_training_records_alone(self, X, y, doubling_sampler):
        params = {"early_stopping": True, "validation_fraction": 0.25, "max_epochs": 2}
        tiny_classifier(sampler=doubling_sampler, **params).fit(X, y)
        tiny_classifier(sampler=doubling_sampler, **params).fit(X[:, 0], y)
        shapes = [X.shape for X, _ in doubling_sampler.calls]
        assert shapes == [(36, N_LEADS, N_SAMPLES), (36, N_SAMPLES)]
