"""Labels: codes, unlabelled rows, and splits by group."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sklearn_bell._utils.labels import class_weights, hold_out, read_labels
from sklearn_bell.exceptions import InvalidECGError


@pytest.mark.parametrize(
    ("y", "rows", "classes"),
    [
        ([0, 1, -1, 1], [0, 1, 3], [0, 1]),
        ([3.0, -1.0, 7.0, -1.0], [0, 2], [3.0, 7.0]),
        ([-1, 1, 1, -1], [0, 1, 2, 3], [-1, 1]),  # an ordinary problem of two classes
        (["b", "a", "b", "c"], [0, 1, 2, 3], ["a", "b", "c"]),
        (np.array(["b", "a", "b", "a"], dtype=object), [0, 1, 2, 3], ["a", "b"]),
        ([True, False, True, True], [0, 1, 2, 3], [False, True]),
        (np.array([2, -1, 5, 9], dtype=object), [0, 2, 3], [2, 5, 9]),
    ],
)
def test_read_labels_finds_classes_and_labelled_rows(y, rows, classes):
    labels = read_labels(y, 4)
    np.testing.assert_array_equal(labels.rows, rows)
    np.testing.assert_array_equal(labels.classes, classes)
    np.testing.assert_array_equal(labels.classes[labels.codes], np.asarray(y)[rows])


@pytest.mark.parametrize("form", [np.array, sparse.csr_array, np.ndarray.tolist])
def test_read_labels_keeps_the_columns_of_an_indicator(form):
    y = np.array([[0, 1, 0], [1, 1, 0]])
    labels = read_labels(form(y), 2)
    np.testing.assert_array_equal(labels.codes, y)
    np.testing.assert_array_equal(labels.classes, [0, 1, 2])


def test_read_labels_takes_a_row_of_minus_ones_as_unlabelled():
    labels = read_labels([[0, 1], [-1, -1], [0, 0]], 3)
    np.testing.assert_array_equal(labels.rows, [0, 2])
    np.testing.assert_array_equal(labels.codes, [[0, 1], [0, 0]])


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (["a", None, "b", "a"], ["a", "b"]),
        (["a", np.nan, "b", "a"], ["a", "b"]),
        (["a", pd.NA, "b", "a"], ["a", "b"]),
        ([0, None, 1, 0], [0, 1]),
        (np.array([0, np.nan, 1, 0]), [0, 1]),
        (pd.Series(["a", None, "b", "a"], dtype="string"), ["a", "b"]),
        (pd.Series([0, None, 1, 0], dtype="Int64"), [0, 1]),
        (pd.Series([False, None, True, False], dtype="boolean"), [False, True]),
        (pd.Series(["a", None, "b", "a"], dtype="category"), ["a", "b"]),
    ],
)
def test_read_labels_takes_missing_values_as_unlabelled(y, classes):
    labels = read_labels(y, 4)
    np.testing.assert_array_equal(labels.rows, [0, 2, 3])
    np.testing.assert_array_equal(labels.codes, [0, 1, 0])
    assert labels.classes.tolist() == classes


def test_read_labels_takes_a_row_of_missing_values_as_unlabelled():
    labels = read_labels([[0, 1], [None, np.nan], [0, 0]], 3)
    np.testing.assert_array_equal(labels.rows, [0, 2])
    with pytest.raises(InvalidECGError, match="Row 1 of y is labelled for some classes"):
        read_labels([[0, 1], [None, 1], [0, 0]], 3)


@pytest.mark.parametrize(
    ("y", "classes", "rows", "codes"),
    [([-1, 2, -1], [0, 1, 2], [1], [2]), ([-1, 1, -1], [-1, 1], [0, 1, 2], [0, 1, 0])],
)
def test_read_labels_with_known_classes(y, classes, rows, codes):
    labels = read_labels(y, 3, classes=np.array(classes))
    np.testing.assert_array_equal(labels.rows, rows)
    np.testing.assert_array_equal(labels.codes, codes)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed"),
        ([0, 1], r"y has shape \(2,\), but there are 3 records"),
        (["a", "b", -1], "encode the classes as 0, 1"),
        (np.array(["a", "b", np.nan]), "text 'nan', which looks like a missing label"),
        (["a", "b", ""], "text '', which looks like a missing label"),
        (["a", "b", " N/A"], "text ' N/A', which looks like a missing label"),
        (["a", "b", "NULL"], "text 'NULL', which looks like a missing label"),
        ([["a"], ["a", "b"], []], "MultiLabelBinarizer"),
        (pd.Series([["a"], ["b"], ["c"]]), "MultiLabelBinarizer"),
        ([0, 1, np.inf], "infinity"),
        (np.array(["a", "b", -1], dtype=object), "encode the classes as 0, 1"),
        ([1, 1, 1], "only class is"),
        ([0.5, 1.5, 2.5], "Unknown label type"),
        ([[0, 1], [2, 0], [1, 1]], "an indicator"),
        ([[0, 1], [-1, 0], [1, 1]], "Row 1 of y is labelled for some classes and -1 for others"),
    ],
)
def test_read_labels_rejects_invalid_y(y, message):
    with pytest.raises(InvalidECGError, match=message):
        read_labels(y, 3)


def test_read_labels_rejects_unknown_classes():
    with pytest.raises(InvalidECGError, match=r"\[0 3\], but expected \[0 1\]"):
        read_labels([0, 3], 2, classes=np.array([0, 1]))


@pytest.mark.parametrize("multilabel", [False, True])
def test_hold_out_separates_groups_and_keeps_class_frequencies(multilabel):
    rng = np.random.default_rng(0)
    codes = rng.choice(3, size=300, p=[0.1, 0.3, 0.6])
    groups = rng.integers(100, size=300)
    indicator = (codes[:, None] == np.arange(3)).astype(int)
    train, test = hold_out(indicator if multilabel else codes, groups, 0.2, seed=0)
    assert not set(groups[train]) & set(groups[test])
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(300))
    assert 0.15 < len(test) / 300 < 0.25
    np.testing.assert_allclose(indicator[test].mean(0), indicator[train].mean(0), atol=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_hold_out_keeps_a_class_of_one_patient_in_training(seed):
    codes = np.array([0] * 9 + [1] * 10 + [2])
    train, _ = hold_out(codes, np.arange(20), 0.3, seed)
    assert 2 in codes[train]


def test_hold_out_rejects_a_single_group():
    with pytest.raises(InvalidECGError, match="one group"):
        hold_out(np.array([0, 1]), np.array([7, 7]), 0.5, seed=0)


@pytest.mark.parametrize(
    ("codes", "class_weight", "expected"),
    [
        (np.array([0, 0, 0, 1]), "balanced", [2 / 3, 2]),
        (np.array([0, 0, 0, 1]), {0: 1, 1: 5}, [1, 5]),
        (np.array([[0, 1], [0, 0]]), None, [[1, 1], [1, 1]]),
        (np.array([[0, 1], [0, 0]]), "balanced", [[0.5, 1], [1, 1]]),
    ],
)
def test_class_weights(codes, class_weight, expected):
    np.testing.assert_allclose(class_weights(class_weight, codes, np.arange(2)), expected)


@pytest.mark.parametrize("class_weight", [{0: -1, 1: 1}, {0: np.nan}, {0: 0, 1: 0}])
def test_class_weights_rejects_weights_that_cannot_be(class_weight):
    with pytest.raises(InvalidECGError, match="class_weight to be finite, not negative"):
        class_weights(class_weight, np.array([0, 1]), np.arange(2))


@pytest.mark.parametrize("class_weight", [{7: 1}, [{0: 1}], "unknown"])
def test_class_weights_rejects_other_classes(class_weight):
    with pytest.raises(InvalidECGError, match="class_weight does not fit the classes"):
        class_weights(class_weight, np.array([0, 1]), np.arange(2))
