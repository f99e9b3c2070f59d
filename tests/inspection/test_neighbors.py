"""Tests of nearest_records."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.utils import Bunch

from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.inspection import nearest_records
from tests.inspection._planted import make_model


@pytest.mark.parametrize("kind", ["pretrainer", "pipeline", "transformers"])
def test_neighbours_equal_a_slow_search_of_latents(planted, bell, kind):
    X, _ = planted
    model = transformer = bell
    if kind != "pretrainer":
        model = make_model(bell, LogisticRegression(), planted)
        transformer = model[:-1]
    model = transformer if kind == "transformers" else model
    result = nearest_records(model, X[80:85], X[:80], n_neighbors=3, metric="euclidean")
    latents, reference = transformer.transform(X[80:85]), transformer.transform(X[:80])
    scale = reference.std(axis=0)
    scale[scale == 0] = 1
    expected = np.sqrt((((latents[:, None] - reference) / scale) ** 2).sum(axis=2))
    np.testing.assert_array_equal(result.indices, expected.argsort(axis=1)[:, :3])
    np.testing.assert_allclose(result.distances, np.sort(expected, axis=1)[:, :3], rtol=1e-3)
    assert isinstance(result, Bunch)


def test_neighbours_of_a_classifier_share_its_class(planted, classifier):
    X, y = planted
    same = nearest_records(classifier, X[:5], X[:80], n_neighbors=1)
    np.testing.assert_array_equal(same.indices[:, 0], np.arange(5))
    neighbours = nearest_records(classifier, X[80:], X[:80]).indices
    assert roc_auc_score(y[80:], y[neighbours].mean(axis=1)) > 0.8


def test_too_few_reference_records_raise(planted, bell):
    X, _ = planted
    with pytest.raises(InvalidECGError, match="n_neighbors is 9, but X_reference has 2"):
        nearest_records(bell, X[:2], X[:2], n_neighbors=9)
