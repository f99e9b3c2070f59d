"""The one place where labels become codes, and unlabelled rows are told from labelled ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.model_selection import GroupShuffleSplit
from sklearn.utils import check_array, column_or_1d, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length

from sklearn_bell.exceptions import InvalidECGError

_UNLABELLED = -1


class Labels(NamedTuple):
    """Labels as a network learns them."""

    rows: np.ndarray  # of the labelled records, (n_labelled,)
    codes: np.ndarray  # (n_labelled,) positions in classes, or (n_labelled, n_classes) indicator
    classes: np.ndarray  # (n_classes,)


def read_labels(y, n_records, classes=None, fewest=2):
    """Return the labelled rows of y, with their classes.

    Parameters
    ----------
    y : array-like of shape (n_records,) or (n_records, n_classes)
        Classes, where -1 is unlabelled if two other classes occur (or if `classes` does not have
        it); or an indicator of zeros and ones, where a row of -1 is unlabelled.
    n_records : int
        How many there must be.
    classes : ndarray of shape (n_classes,), default=None
        All classes, sorted, where they are known before.
    fewest : int, default=2
        How many there must be, where they are not.

    Returns
    -------
    labels : Labels

    Raises
    ------
    InvalidECGError
        A ``ValueError`` that says what was given and what was expected.
    """
    if y is None:
        raise InvalidECGError("This estimator requires y to be passed, but the target y is None.")
    y = y.toarray() if sparse.issparse(y) else y
    try:
        y = check_array(y, ensure_2d=False, dtype=None, ensure_min_samples=0, input_name="y")
        check_consistent_length(np.empty(n_records), y)
    except ValueError as error:
        raise InvalidECGError(f"{error} Unlabelled records are marked by -1.") from error
    if y.ndim == 2 and y.shape[1] > 1:
        return _read_indicator(y, classes)
    return _read_classes(column_or_1d(y, warn=True), classes, fewest)


def _read_indicator(y, classes):
    """Read ``(n_records, n_classes)`` of zeros and ones."""
    y = np.array(y.tolist()) if y.dtype == object else y  # such as nullable columns of pandas
    if y.dtype.kind not in "biuf" or not np.isin(y, (_UNLABELLED, 0, 1)).all():
        raise InvalidECGError(
            "Unknown label type: y of two dimensions must be an indicator (n_records, n_classes) "
            f"of 0 and 1, or rows of -1, but got {_few(np.unique(y))}."
        )
    rows = np.flatnonzero((y != _UNLABELLED).any(axis=1))
    codes = y[rows].astype(np.int64)
    if (codes == _UNLABELLED).any():
        row = rows[(codes == _UNLABELLED).any(axis=1)][0]
        raise InvalidECGError(
            f"Row {row} of y is labelled for some classes and -1 for others: {_few(y[row])}. A "
            "record is labelled for all classes or for none."
        )
    if classes is not None and len(classes) != y.shape[1]:
        raise InvalidECGError(f"y has {y.shape[1]} classes, but {len(classes)} were seen before.")
    return Labels(rows, codes, np.arange(y.shape[1]))


def _read_classes(y, classes, fewest):
    """Read ``(n_records,)`` of any sortable kind of label."""
    strings = [isinstance(label, str) for label in y.tolist()]
    if any(strings) and (not all(strings) or str(_UNLABELLED) in y):
        raise InvalidECGError(
            "y mixes text and numbers, or has the text '-1'. Where some records are unlabelled, "
            "encode the classes as 0, 1, ... (LabelEncoder does it) and the unlabelled as -1."
        )
    y = np.array(y.tolist()) if y.dtype == object and not any(strings) else y
    try:
        check_classification_targets(y)
    except ValueError as error:
        raise InvalidECGError(str(error)) from error
    labelled = np.ones(len(y), dtype=bool)
    if not any(strings) and y.dtype.kind != "b":
        is_labelled = y != _UNLABELLED
        if classes is None:
            labelled = is_labelled if len(np.unique(y[is_labelled])) > 1 else labelled
        elif _UNLABELLED not in classes:
            labelled = is_labelled
    rows = np.flatnonzero(labelled)
    found, codes = np.unique(y[rows], return_inverse=True)
    if classes is None:
        if len(found) < fewest:
            raise InvalidECGError(
                f"y must have at least {fewest} classes, but the only class is {_few(found)}."
            )
        return Labels(rows, codes, found)
    if not np.isin(found, classes).all():
        raise InvalidECGError(f"y has classes {_few(found)}, but expected {_few(classes)}.")
    return Labels(rows, np.searchsorted(classes, found)[codes], classes)


def hold_out(codes, groups, fraction, seed, n_tries=50):
    """Return positions to train on and to hold out; no group is on both sides.

    Of some random splits it is the one that keeps most classes in training, and among those the one
    in which the shares of the classes differ least.
    """
    if len(np.unique(groups)) < 2:
        raise InvalidECGError(
            "Early stopping holds some patients out, but all labelled records are of one group."
        )
    indicator = codes if codes.ndim == 2 else codes[:, None] == np.unique(codes)
    splitter = GroupShuffleSplit(n_tries, test_size=fraction, random_state=seed)

    def unlikeness(split):
        here, there = (indicator[positions].mean(axis=0) for positions in split)
        return np.sum(here == 0), np.abs(here - there).sum()

    return min(splitter.split(codes, groups=groups), key=unlikeness)


def class_weights(class_weight, codes, classes):
    """Return the weight of each class; or of absence and presence of each, (2, n_classes)."""
    try:
        return _class_weights(class_weight, codes, classes)
    except (ValueError, TypeError) as error:
        raise InvalidECGError(f"class_weight does not fit the classes: {error}") from error


def _class_weights(class_weight, codes, classes):
    if codes.ndim == 2:
        each = class_weight if isinstance(class_weight, list) else [class_weight] * len(classes)
        if len(each) != len(classes) or isinstance(class_weight, dict):
            raise ValueError(
                f"y has {len(classes)} columns, so class_weight must be 'balanced', None or a list "
                f"of {len(classes)} dicts, but got {class_weight!r}."
            )
        columns = zip(each, codes.T, strict=True)
        return np.stack([_class_weights(one, of, np.arange(2)) for one, of in columns], axis=1)
    if class_weight == "balanced":
        counts = np.bincount(codes, minlength=len(classes))
        return len(codes) / (len(classes) * np.maximum(counts, 1))
    return compute_class_weight(class_weight, classes=classes, y=classes)


def weighted_targets(codes, weights):
    """Return how much each class counts for a record, (n_records, n_classes): its weight, or zero.

    Of an indicator it is how much absence and presence count, (n_records, n_classes, 2). There,
    codes may be probabilities.
    """
    if codes.ndim == 1:
        return (np.eye(len(weights))[codes] * weights).astype(np.float32)
    both = np.stack([1 - codes, codes], axis=-1)
    return (both * weights.T).astype(np.float32)


def _few(values):
    return np.array2string(np.asarray(values), threshold=10)
