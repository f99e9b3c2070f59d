"""What trees make of latents equals scikit-learn's forest of every class."""

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier

from sklearn_bell.classification._pseudo_labels import pseudo_label_probabilities

rng = np.random.default_rng(0)
LATENTS, OTHERS = rng.standard_normal((60, 4)), rng.standard_normal((10, 4))
CODES = (LATENTS[:, 0] > 0).astype(int)


def forest(codes, **params):
    return ExtraTreesClassifier(20, random_state=0, **params).fit(LATENTS, codes)


def test_classes_that_do_not_occur_have_probability_zero():
    found = pseudo_label_probabilities(LATENTS, 2 * CODES, np.ones(4), OTHERS, 20, 0)
    np.testing.assert_allclose(found[:, [0, 2]], forest(CODES).predict_proba(OTHERS))
    assert not found[:, [1, 3]].any()


@pytest.mark.parametrize("weights", [[[1.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [9.0, 1.0]]])
def test_every_column_of_an_indicator_has_trees_and_weights_of_its_own(weights):
    codes = np.stack([(LATENTS[:, 1] + LATENTS[:, 0] > 1), CODES], axis=1).astype(int)
    found = pseudo_label_probabilities(LATENTS, codes, np.array(weights), OTHERS, 20, 0)
    for k in range(2):
        alone = forest(codes[:, k], class_weight={0: weights[0][k], 1: weights[1][k]})
        np.testing.assert_allclose(found[:, k], alone.predict_proba(OTHERS)[:, 1])
