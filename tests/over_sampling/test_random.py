"""Random over- and under-sampling."""

import numpy as np
import pandas as pd
import pytest
from imblearn import over_sampling as plain_over
from imblearn import under_sampling as plain_under
from imblearn.pipeline import make_pipeline
from imblearn.utils.estimator_checks import estimator_checks_generator
from sklearn.linear_model import LogisticRegression

from sklearn_bell import BELLPretrainer, ECGClassifier
from sklearn_bell.datasets import make_ecg
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.over_sampling import RandomOverSampler, RandomUnderSampler
from tests.over_sampling.test_sampler import EXPECTED_TO_FAIL

X = make_ecg(60, leads=["I", "II"], duration=2, random_state=0).data
Y = np.repeat([0, 1, 2], [40, 15, 5])
INDICATOR = np.stack([np.arange(60) < 50, np.arange(60) % 6 == 0, np.arange(60) > 55], axis=1) * 1
SAMPLERS = RandomOverSampler(random_state=0), RandomUnderSampler(random_state=0)


@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        pair
        for sampler in SAMPLERS
        for pair in estimator_checks_generator(
            sampler, expected_failed_checks=EXPECTED_TO_FAIL, mark="xfail"
        )
    ],
    ids=lambda value: getattr(getattr(value, "func", None), "__name__", "sampler"),
)
def test_sampler_passes_imbalanced_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("strategy", ["auto", "all", {1: 20, 2: 30}])
def test_over_sampling_counts_equal_imbalanced_learn(strategy):
    sampler = RandomOverSampler(sampling_strategy=strategy, random_state=0)
    X_new, y_new = sampler.fit_resample(X, Y)
    plain = plain_over.RandomOverSampler(sampling_strategy=strategy, random_state=0)
    _, expected = plain.fit_resample(X.reshape(60, -1), Y)
    np.testing.assert_array_equal(np.bincount(y_new), np.bincount(expected))
    np.testing.assert_array_equal(X_new[:60], X)
    rows = sampler.sample_indices_
    np.testing.assert_array_equal(X_new, X[rows])
    np.testing.assert_array_equal(y_new, Y[rows])


@pytest.mark.parametrize("strategy", ["auto", {0: 12}])
def test_under_sampling_counts_equal_imbalanced_learn(strategy):
    sampler = RandomUnderSampler(sampling_strategy=strategy, random_state=0)
    X_new, y_new = sampler.fit_resample(X, Y)
    plain = plain_under.RandomUnderSampler(sampling_strategy=strategy, random_state=0)
    _, expected = plain.fit_resample(X.reshape(60, -1), Y)
    np.testing.assert_array_equal(np.bincount(y_new), np.bincount(expected))
    assert len(set(sampler.sample_indices_)) == len(y_new)
    np.testing.assert_array_equal(X_new, X[sampler.sample_indices_])


def test_multilabel_over_sampling_reaches_the_counts():
    _, y_new = RandomOverSampler(sampling_strategy={2: 30}, random_state=0).fit_resample(
        X, INDICATOR
    )
    assert y_new[:, 2].sum() == 30
    np.testing.assert_array_equal(y_new[:60], INDICATOR)


def test_multilabel_under_sampling_keeps_rare_labels():
    _, y_new = RandomUnderSampler(sampling_strategy={0: 20}, random_state=0).fit_resample(
        X, INDICATOR
    )
    assert y_new[:, 0].sum() == 20
    np.testing.assert_array_equal(y_new[:, 1:].sum(axis=0), INDICATOR[:, 1:].sum(axis=0))


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_unlabelled_records_are_kept(sampler):
    y = np.where(np.arange(60) % 10 == 0, -1, Y)
    _, y_new = sampler.fit_resample(X, y)
    assert (y_new == -1).sum() == 6
    assert len(set(np.bincount(y_new[y_new >= 0]))) == 1


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_types_of_y_and_one_lead_are_kept(sampler):
    X_new, y_new = sampler.fit_resample(X[:, 0], pd.Series(Y, name="class"))
    assert X_new.ndim == 2
    assert isinstance(y_new, pd.Series)
    assert y_new.name == "class"


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_column_of_records_becomes_an_array(sampler):
    table = pd.DataFrame({"ecg": list(X)})
    expected = sampler.fit_resample(X, Y)[0]
    for column in table, table["ecg"]:
        np.testing.assert_array_equal(sampler.fit_resample(column, Y)[0], expected)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_pipeline_and_classifier_use_it(sampler):
    bell = BELLPretrainer(max_epochs=0, random_state=0)
    make_pipeline(sampler, bell, LogisticRegression()).fit(X, Y)
    classifier = ECGClassifier(bell, sampler=sampler, max_epochs=0, n_trees=2, random_state=0)
    assert classifier.fit(X, INDICATOR).predict(X).shape == (60, 3)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_leads_that_are_nan_as_a_whole_are_kept(sampler):
    broken = X.copy()
    broken[:, 1] = np.nan
    np.testing.assert_array_equal(
        sampler.fit_resample(broken, Y)[0], broken[sampler.sample_indices_]
    )


def test_class_without_records_raises():
    with pytest.raises(InvalidECGError, match="7"):
        RandomOverSampler(sampling_strategy={7: 10}).fit(X, Y)
