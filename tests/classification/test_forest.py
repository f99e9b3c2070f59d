"""Forest as arrays against scikit-learn's extra trees."""

import copy

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier

from sklearn_bell.classification._forest import Forest
from sklearn_bell.exceptions import InvalidFileError

rng = np.random.default_rng(0)
X, X_NEW = rng.standard_normal((60, 4)), rng.standard_normal((300, 4))
CODES = (X[:, 0] > 0).astype(int)
INDICATOR = np.stack([X[:, 1] + X[:, 0] > 1, X[:, 0] > 0, X[:, 2] > 9], axis=1).astype(int)


def reference(codes, X_new=X_NEW, **fit_params):
    forest = ExtraTreesClassifier(20, random_state=0).fit(X, codes, **fit_params)
    return forest.predict_proba(X_new)


def test_classes_are_those_of_scikit_learn_within_a_step():
    probabilities = Forest.fit(X, CODES, np.ones(2), 20, 0).predict_proba(X_NEW)
    np.testing.assert_allclose(probabilities, reference(CODES), atol=0.5 / 255)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_absent_classes_have_probability_zero():
    forest = Forest.fit(X, 2 * CODES, np.ones(4), 20, 0)
    probabilities = forest.predict_proba(X_NEW)
    assert forest.seen.tolist() == [True, False, True, False]
    np.testing.assert_allclose(probabilities[:, [0, 2]], reference(CODES), atol=0.5 / 255)
    assert not probabilities[:, [1, 3]].any()


def test_labels_are_those_of_scikit_learn_within_a_step():
    forest = Forest.fit(X, INDICATOR, np.ones((2, 3)), 20, 0)
    probabilities = forest.predict_proba(X_NEW)
    assert forest.seen.tolist() == [True, True, False]
    expected = np.stack([p[:, 1] for p in reference(INDICATOR)[:2]], axis=1)
    np.testing.assert_allclose(probabilities[:, :2], expected, atol=0.5 / 255)
    assert not probabilities[:, 2].any()


def test_class_weights_weight_records():
    weights = np.array([1.0, 9.0])
    probabilities = Forest.fit(X, CODES, weights, 20, 0).predict_proba(X_NEW)
    expected = reference(CODES, sample_weight=weights[CODES])
    np.testing.assert_allclose(probabilities, expected, atol=0.5 / 255)


def test_weights_of_labels_are_averaged_over_labels():
    weights = np.array([[1.0, 1.0, 1.0], [4.0, 1.0, 1.0]])
    probabilities = Forest.fit(X, INDICATOR, weights, 20, 0).predict_proba(X_NEW)
    expected = reference(INDICATOR, sample_weight=1 + INDICATOR[:, 0])
    expected = np.stack([p[:, 1] for p in expected[:2]], axis=1)
    np.testing.assert_allclose(probabilities[:, :2], expected, atol=0.5 / 255)


def test_record_does_not_depend_on_others():
    forest = Forest.fit(X, INDICATOR, np.ones((2, 3)), 20, 0)
    alone = np.concatenate([forest.predict_proba(x[None]) for x in X_NEW])
    np.testing.assert_array_equal(forest.predict_proba(X_NEW), alone)


def test_size_is_bounded():
    X, codes = rng.standard_normal((8000, 6)), rng.integers(0, 2, 8000)  # nothing to learn
    n_leaves = [len(Forest.fit(X[:n], codes[:n], np.ones(2), 5, 0).values) for n in (4000, 8000)]
    assert max(n_leaves) < 5 * 2000


def test_state_restores_the_forest():
    forest = Forest.fit(X, CODES, np.ones(2), 20, 0)
    again = Forest.from_state(forest.get_state(), 2)
    np.testing.assert_array_equal(again.predict_proba(X_NEW), forest.predict_proba(X_NEW))


DAMAGE = {
    "no end": lambda state: state.update(
        feature=state["feature"][:-1], values=state["values"][:-1]
    ),
    "no last leaf": lambda state: state["feature"].__setitem__(-1, 0),
    "lengths": lambda state: state.update(threshold=state["threshold"][1:]),
    "unknown feature": lambda state: state["feature"].__setitem__(0, 4),
    "leaves": lambda state: state.update(values=state["values"][1:]),
    "no trees": lambda state: state.update(
        feature=state["feature"][:0], threshold=state["threshold"][:0], values=state["values"][:0]
    ),
    "seen": lambda state: state.update(seen=state["seen"][:1]),
    "outputs": lambda state: state.update(values=state["values"][:, :1]),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_state_raises(damage):
    state = Forest.fit(X, CODES, np.ones(2), 20, 0).get_state()
    state = copy.deepcopy(state)
    damage(state)
    with pytest.raises(InvalidFileError, match="forest"):
        Forest.from_state(state, 2)
