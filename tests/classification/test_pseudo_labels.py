"""Probabilities of the forest against scikit-learn's extra trees."""

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier

from sklearn_bell.classification._pseudo_labels import forest_probabilities

rng = np.random.default_rng(0)
LATENTS, UNLABELLED = rng.standard_normal((60, 4)), rng.standard_normal((10, 4))
CODES = (LATENTS[:, 0] > 0).astype(int)


def reference(codes, **params):
    forest = ExtraTreesClassifier(20, random_state=0, **params).fit(LATENTS, codes)
    return forest.predict_proba(UNLABELLED)


def test_absent_classes_have_probability_zero():
    probabilities = forest_probabilities(LATENTS, 2 * CODES, np.ones(4), UNLABELLED, 20, 0)
    np.testing.assert_allclose(probabilities[:, [0, 2]], reference(CODES))
    assert not probabilities[:, [1, 3]].any()


def test_class_weights_weight_records():
    weights = np.array([1.0, 9.0])
    probabilities = forest_probabilities(LATENTS, CODES, weights, UNLABELLED, 20, 0)
    np.testing.assert_allclose(probabilities, reference(CODES, class_weight={0: 1.0, 1: 9.0}))


@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("weights", [[[1.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [9.0, 1.0]]])
def test_column_of_an_indicator_has_its_own_forest_and_weights(weights, column):
    codes = np.stack([(LATENTS[:, 1] + LATENTS[:, 0] > 1), CODES], axis=1).astype(int)
    probabilities = forest_probabilities(LATENTS, codes, np.array(weights), UNLABELLED, 20, 0)
    class_weight = {0: weights[0][column], 1: weights[1][column]}
    expected = reference(codes[:, column], class_weight=class_weight)[:, 1]
    np.testing.assert_allclose(probabilities[:, column], expected)
