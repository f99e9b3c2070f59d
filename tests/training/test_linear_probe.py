"""LinearProbe scores what is learnt while it is learnt, changes nothing of it, and can end it."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bell import BELLPretrainer
from sklearn_bell.datasets import make_ecg
from sklearn_bell.training import LinearProbe

ECG = make_ecg(
    36, classes=["normal", "lbbb"], leads=["II", "V1"], duration=2, sampling_rate=100,
    random_state=0,
)  # fmt: skip


def bell(max_epochs, *callbacks):
    one = BELLPretrainer(max_epochs=max_epochs, head_width=8, batch_size=12, random_state=0)
    return one.set_callbacks(*callbacks).fit(ECG.data)


def test_scores_are_those_of_a_model_that_was_trained_as_long():
    probe = LinearProbe(ECG.data[:24], ECG.target[:24], every=2)
    bell(5, probe)
    assert [one["epoch"] for one in probe.scores_] == [2, 4]
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.005))
    for one in probe.scores_:
        features = bell(one["epoch"]).transform(ECG.data[:24])
        expected = cross_val_score(classifier, features, ECG.target[:24], cv=3).mean()
        assert one["score"] == expected


def test_looking_changes_nothing():
    probed, alone = bell(3, LinearProbe(ECG.data, ECG.target, every=1)), bell(3)
    np.testing.assert_array_equal(probed.transform(ECG.data), alone.transform(ECG.data))
    assert [one["loss"] for one in probed.history_] == [one["loss"] for one in alone.history_]


def test_training_ends_when_scores_get_no_better():
    probe = LinearProbe(ECG.data, ECG.target, every=1, patience=2, scoring=lambda model, X, y: 0.5)
    assert len(bell(9, probe).history_) == 3  # the first is the best, and two are no better
    rising = iter(np.repeat([0.1, 0.2, 0.3, 0.3, 0.3, 0.9], 3))  # in three parts each
    probe = LinearProbe(
        ECG.data, ECG.target, every=1, patience=2, scoring=lambda model, X, y: next(rising)
    )
    assert len(bell(9, probe).history_) == 5
    assert len(probe.scores_) == 5


def test_patients_stay_together_and_another_classifier_is_taken():
    seen = []

    class Spy(LogisticRegression):
        def fit(self, X, y):
            seen.append(len(y))
            return super().fit(X, y)

    groups = np.repeat([0, 1, 2], [6, 12, 18])
    probe = LinearProbe(
        ECG.data, ECG.target, groups=groups, cv=GroupKFold(3), classifier=Spy(), every=1
    )
    bell(1, probe)
    assert sorted(seen) == [18, 24, 30]


def test_each_fit_begins_anew():
    probe = LinearProbe(ECG.data, ECG.target, every=1)
    one = BELLPretrainer(max_epochs=2, head_width=8, random_state=0).set_callbacks(probe)
    one.fit(ECG.data)
    one.fit(ECG.data)
    assert len(probe.scores_) == 2
    assert clone(one).get_params()["max_epochs"] == 2


def test_bad_parameters_are_named():
    with pytest.raises(ValueError, match="'every' parameter"):
        LinearProbe(ECG.data, ECG.target, every=0)
    with pytest.raises(ValueError, match="'patience' parameter"):
        LinearProbe(ECG.data, ECG.target, patience=0)
