"""Linear probe of the latents during pretraining."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bell import BELLPretrainer, ECGClassifier
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.training import LinearProbe
from tests.training._estimators import SMALL, X, callback_at_step, raise_interrupt, y


def fit(max_epochs, *callbacks, **params):
    params = {**SMALL, "max_epochs": max_epochs, "random_state": 0, **params}
    return BELLPretrainer(**params).set_callbacks(*callbacks).fit(X)


def scripted(*scores):
    """Return a scoring function that gives these means over three splits."""
    values = iter(np.repeat(scores, 3))
    return lambda model, X, y: next(values)


def test_scores_equal_those_of_shorter_trainings():
    probe = LinearProbe(X, y, every=2)
    fit(5, probe)
    assert [entry["epoch"] for entry in probe.scores_] == [2, 4]
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.005, max_iter=1000))
    for entry in probe.scores_:
        latents = fit(entry["epoch"]).transform(X)
        assert entry["score"] == cross_val_score(classifier, latents, y, cv=3).mean()


def test_probe_changes_no_weights():
    probed, expected = fit(3, LinearProbe(X, y, every=1)), fit(3)
    np.testing.assert_array_equal(probed.transform(X), expected.transform(X))
    for entry, other in zip(probed.history_, expected.history_, strict=True):
        assert entry["loss"] == other["loss"]


def test_history_holds_scores_by_name():
    bell = fit(2, LinearProbe(X, y, every=1, name="a"), LinearProbe(X, 1 - y, every=2, name="b"))
    names = [sorted(name for name in entry if "score" in name) for entry in bell.history_]
    assert names == [["score_a"], ["score_a", "score_b"]]


@pytest.mark.parametrize(
    ("scores", "n_epochs"),
    [([0.5] * 9, 3), ([0.1, 0.2, 0.3, 0.3, 0.3, 0.9], 5), (np.arange(6) / 9, 6)],
    ids=["constant", "plateau", "rising"],
)
def test_patience_stops_the_training(scores, n_epochs):
    probe = LinearProbe(X, y, every=1, patience=2, scoring=scripted(*scores))
    assert len(fit(6, probe).history_) == len(probe.scores_) == n_epochs


@pytest.mark.parametrize("step", [1, 6, 8])
def test_stopping_resumes_with_the_checkpoint(step, tmp_path):
    def run(checkpoint):
        probe = LinearProbe(X, y, every=1, patience=2, scoring=lambda model, X, y: -X.mean())
        bell = fit(9, probe, checkpoint=checkpoint)
        return bell.transform(X), probe.scores_

    expected, scores = run(None)
    assert 3 <= len(scores) < 9
    with callback_at_step(step, raise_interrupt), pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    for _ in range(2):  # the second time, all epochs are stored
        latents, observed = run(tmp_path)
        np.testing.assert_array_equal(latents, expected)
        assert observed == scores


def test_finished_run_gives_the_scores_again(tmp_path):
    first, second = (LinearProbe(X, y, every=2) for _ in range(2))
    for probe in (first, second):
        fit(3, probe, checkpoint=tmp_path)
    assert first.scores_ == second.scores_ != []


def test_groups_and_classifier_are_used():
    sizes = []

    class Spy(LogisticRegression):
        def fit(self, X, y):
            sizes.append(len(y))
            return super().fit(X, y)

    groups = np.repeat([0, 1, 2], [4, 8, 12])
    fit(1, LinearProbe(X, y, groups=groups, cv=GroupKFold(3), classifier=Spy(), every=1))
    assert sorted(sizes) == [12, 16, 20]


def test_indicator_labels_are_scored():
    indicator = np.stack([y, np.arange(24) % 3 == 0], axis=1).astype(int)
    probe = LinearProbe(X, indicator, every=1)
    bell = fit(1, probe)
    linear = OneVsRestClassifier(LogisticRegression(C=0.005, max_iter=1000))
    expected = cross_val_score(
        make_pipeline(StandardScaler(), linear), bell.transform(X), indicator, cv=3
    )
    assert probe.scores_ == [{"epoch": 1, "score": expected.mean()}]


def test_every_fit_starts_with_no_scores():
    probe = LinearProbe(X, y, every=1)
    bell = fit(2, probe).fit(X)
    assert [entry["epoch"] for entry in probe.scores_] == [1, 2]
    assert clone(bell).get_params()["max_epochs"] == 2


def test_probe_of_classifier_raises():
    classifier = ECGClassifier(max_epochs=1, n_trees=0).set_callbacks(LinearProbe(X, y))
    with pytest.raises(InvalidECGError, match="Expected a pretrainer, got ECGClassifier"):
        classifier.fit(X, y)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"every": 0}, "Expected every, patience >= 1, got 0, None"),
        ({"patience": 0}, "Expected every, patience >= 1, got 5, 0"),
        ({"cv": "three"}, "cv"),
        ({"scoring": "quality"}, "scoring"),
        ({"groups": [1]}, r"Expected X, y and groups of the same length, got \[24, 24, 1\]"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_invalid_parameters_raise(params, match):
    with pytest.raises(ValueError, match=match):
        LinearProbe(X, y, **params)
