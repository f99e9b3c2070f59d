"""Initial linear head against scikit-learn's logistic regression."""

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from sklearn_bell.classification._head_init import fit_linear_head

rng = np.random.default_rng(0)
LATENTS = rng.standard_normal((60, 4))
CODES = (LATENTS[:, 0] + rng.standard_normal(60) > 0).astype(int) + (LATENTS[:, 1] > 0.5)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_head_of_classes_equals_logistic_regression(n_classes):
    codes = np.minimum(CODES, n_classes - 1)
    weights = np.array([1.0, 2.0, 0.5])[:n_classes]
    weight, bias = fit_linear_head(LATENTS, codes, weights, C=0.1)
    model = LogisticRegression(C=0.1, class_weight=dict(enumerate(weights)))
    expected = model.fit(LATENTS, codes).predict_proba(LATENTS)
    np.testing.assert_allclose(softmax(LATENTS @ weight.T + bias, axis=1), expected, atol=1e-3)


@pytest.mark.parametrize("column", [0, 1])
def test_head_of_an_indicator_equals_logistic_regression_by_column(column):
    codes = np.stack([CODES > 0, CODES == 2], axis=1).astype(int)
    weights = np.array([[1.0, 1.0], [2.0, 3.0]])
    weight, bias = fit_linear_head(LATENTS, codes, weights, C=0.1)
    model = LogisticRegression(C=0.1, class_weight=dict(enumerate(weights[:, column])))
    expected = model.fit(LATENTS, codes[:, column]).predict_proba(LATENTS)[:, 1]
    probabilities = expit(LATENTS @ weight[column] + bias[column])
    np.testing.assert_allclose(probabilities, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("codes", "n_classes"), [(np.where(CODES == 1, 3, CODES), 4), (np.zeros(60, int), 2)]
)
def test_absent_class_has_low_probability(codes, n_classes):
    weight, bias = fit_linear_head(LATENTS, codes, np.ones(n_classes), C=0.1)
    probability = softmax(LATENTS @ weight.T + bias, axis=1)
    absent = np.setdiff1d(np.arange(n_classes), codes)
    assert len(absent) == 1
    assert probability[:, absent].max() < 0.02
    assert not weight[absent].any()


def test_absent_label_has_low_probability():
    codes = np.stack([CODES > 0, np.zeros(60)], axis=1).astype(int)
    weight, bias = fit_linear_head(LATENTS, codes, np.ones((2, 2)), C=0.1)
    assert not weight[1].any()
    assert expit(bias[1]) < 0.02
