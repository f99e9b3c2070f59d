"""Tests of lead_importance and time_importance."""

import joblib
import numpy as np
import pytest
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_bell import ECGFeatures
from sklearn_bell.datasets import make_ecg
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.inspection import lead_importance, time_importance
from tests.inspection._planted import LEAD, RATE, TIME


class Scorer:
    """Fitted model with a score function."""

    def __init__(self, score):
        self.score = score

    def fit(self, X, y):
        return self


@pytest.fixture(scope="module")
def model(planted):
    return make_pipeline(ECGFeatures(), StandardScaler(), LogisticRegression()).fit(*planted)


def test_lead_importance_finds_the_planted_lead(planted, classifier):
    X, y = planted
    result = lead_importance(
        classifier, X[80:], y[80:], lead_names=["II", "V1", "V5"], random_state=0, n_repeats=4
    )
    assert classifier.score(X[80:], y[80:]) > 0.9
    assert result.importances.shape == (3, 4)
    assert result.lead_names[result.importances_mean.argmax()] == "V1"
    assert result.importances_mean[LEAD] > 0.3
    assert np.abs(np.delete(result.importances_mean, LEAD)).max() < 0.15
    np.testing.assert_allclose(result.importances_std, result.importances.std(axis=1))


def test_lead_importance_equals_permutation_importance():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3, 1)).astype(np.float32).repeat(3, axis=2)
    y = (X[:, 0, 0] + 0.5 * X[:, 1, 0] > 0).astype(int)
    flat = LogisticRegression().fit(X[:, :, 0], y)
    model = make_pipeline(FunctionTransformer(lambda X: X[:, :, 0]), flat).fit(X, y)
    options = {"n_repeats": 20, "scoring": "roc_auc", "random_state": 0}
    result = lead_importance(model, X, y, **options)
    expected = permutation_importance(flat, X[:, :, 0], y, **options)
    np.testing.assert_allclose(result.importances_mean, expected.importances_mean, atol=0.02)


def test_leads_are_exchanged_between_patients():
    """Records of a patient are equal, so an exchange within the patient changes nothing."""
    patients = np.repeat(np.arange(10), 3)
    X = patients[:, None, None] * np.ones((1, 1, 4), dtype=np.float32)
    model = Scorer(lambda X, y: np.mean(X[:, 0, 0] == y))
    result = lead_importance(model, X, patients, groups=patients, n_repeats=10, random_state=0)
    np.testing.assert_array_equal(result.importances, 1)
    by_record = lead_importance(model, X, patients, n_repeats=10, random_state=0)
    assert by_record.importances.min() < 1


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
@pytest.mark.parametrize("function", [lead_importance, time_importance])
def test_importance_is_independent_of_n_jobs(planted, model, function, backend):
    X, y = planted
    before = X.copy()
    seed = {"random_state": 0} if function is lead_importance else {}
    expected = function(model, X, y, **seed)
    with joblib.parallel_config(backend):
        result = function(model, X, y, n_jobs=2, **seed)
    np.testing.assert_array_equal(result.importances, expected.importances)
    np.testing.assert_array_equal(X, before)


def test_time_importance_finds_the_planted_window(planted, classifier):
    X, y = planted
    result = time_importance(classifier, X[80:], y[80:], by="windows", width=0.3)
    middle = (TIME.start + TIME.stop) / 2 / RATE
    best = result.importances.argmax()
    assert result.starts[best] <= middle <= result.stops[best]
    assert result.importances[best] > 0.3
    assert result.stops[-1] == 3


def test_time_importance_finds_the_st_segment():
    ecg = make_ecg(
        160, classes=["normal", "st_elevation"], leads=["II", "V2", "V3"], duration=5,
        sampling_rate=RATE, random_state=0,
    )  # fmt: skip
    X, y = ecg.data, ecg.target
    model = make_pipeline(ECGFeatures(), StandardScaler(), LogisticRegression(C=0.01))
    model.fit(X[:100], y[:100])
    result = time_importance(model, X[100:], y[100:], width=0.1, scoring="neg_log_loss")
    start = result.starts[result.importances.argmax()]
    assert 0 <= start <= 0.35  # ST segment and T wave follow the QRS complex


def test_hidden_windows_are_straight_lines():
    scored = []

    def score(X, y):
        scored.append(X)
        return 0.0

    model = Scorer(score)
    X = np.random.default_rng(0).normal(size=(2, 1, 100)).astype(np.float32)
    time_importance(model, X, [0, 1], by="windows", width=0.25)
    *hidden, whole = scored
    np.testing.assert_array_equal(whole, X)
    assert len(hidden) == 4
    for part, records in enumerate(hidden):
        inside = np.arange(100) // 25 == part
        np.testing.assert_array_equal(records[..., ~inside], X[..., ~inside])
        np.testing.assert_allclose(np.diff(records[..., inside], n=2), 0, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (lead_importance, {"groups": np.zeros(120)}, "at least two patients, got one"),
        (lead_importance, {"groups": [1, 2, 3]}, "groups"),
        (lead_importance, {"lead_names": ["II"]}, "lead_names"),
        (time_importance, {"by": "windows", "width": 3}, "width below 3 s"),
        (time_importance, {"X": np.zeros((120, 3, 300))}, "no beats. Check sampling_rate"),
        (lead_importance, {"X": np.zeros((120, 3, 2, 50))}, "shape"),
    ],
)
def test_invalid_arguments_raise(planted, model, function, options, message):
    X, y = planted
    with pytest.raises(InvalidECGError, match=message):
        function(model, **{"X": X, "y": y, **options})
