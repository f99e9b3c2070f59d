"""The start of a linear layer equals scikit-learn's logistic regression."""

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from sklearn_bell.classification._head_init import linear_head

rng = np.random.default_rng(0)
LATENTS = rng.standard_normal((60, 4))
CODES = (LATENTS[:, 0] + rng.standard_normal(60) > 0).astype(int) + (LATENTS[:, 1] > 0.5)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes(n_classes):
    codes = np.minimum(CODES, n_classes - 1)
    weights = np.array([1.0, 2.0, 0.5])[:n_classes]
    weight, bias = linear_head(LATENTS, codes, weights, C=0.1)
    model = LogisticRegression(C=0.1, class_weight=dict(enumerate(weights)))
    expected = model.fit(LATENTS, codes).predict_proba(LATENTS)
    found = softmax(LATENTS @ weight.T + bias, axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_an_indicator():
    codes = np.stack([CODES > 0, CODES == 2], axis=1).astype(int)
    weights = np.array([[1.0, 1.0], [2.0, 3.0]])
    weight, bias = linear_head(LATENTS, codes, weights, C=0.1)
    for k in range(2):
        model = LogisticRegression(C=0.1, class_weight=dict(enumerate(weights[:, k])))
        expected = model.fit(LATENTS, codes[:, k]).predict_proba(LATENTS)[:, 1]
        found = expit(LATENTS @ weight[k] + bias[k])
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_class_that_is_not_there_is_thought_rare():
    for codes, n_classes in ((np.where(CODES == 1, 3, CODES), 4), (np.zeros(60, int), 2)):
        weight, bias = linear_head(LATENTS, codes, np.ones(n_classes), C=0.1)
        probability = softmax(LATENTS @ weight.T + bias, axis=1)
        absent = np.setdiff1d(np.arange(n_classes), codes)
        assert len(absent)
        assert probability[:, absent].max() < 0.02
        assert not weight[absent].any()


def test_a_label_that_no_record_has_is_thought_rare():
    codes = np.stack([CODES > 0, np.zeros(60)], axis=1).astype(int)
    weight, bias = linear_head(LATENTS, codes, np.ones((2, 2)), C=0.1)
    assert not weight[1].any()
    assert expit(bias[1]) < 0.02
