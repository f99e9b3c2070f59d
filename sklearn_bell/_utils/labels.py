"""Labels of records: classes as integer codes, unlabelled rows, splits and class weights."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.model_selection import GroupShuffleSplit
from sklearn.utils import check_array, column_or_1d, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from sklearn_bell.exceptions import InvalidECGError

_UNLABELLED = -1
_MISSING_AS_TEXT = {"", "nan", "null", "na", "n/a", "<na>", "nat"}  # and "None"


class Labels(NamedTuple):
    """Labelled rows of y, their codes, and the classes."""

    rows: np.ndarray  # (n_labelled,) row numbers
    codes: np.ndarray  # (n_labelled,) positions in classes, or (n_labelled, n_classes) indicator
    classes: np.ndarray  # (n_classes,)
    sample_weight: np.ndarray | None = None  # (n_labelled,) with mean 1

    def part(self, positions):
        """Return the labels at positions among the labelled rows."""
        weight = None if self.sample_weight is None else self.sample_weight[positions]
        rows, codes = self.rows[positions], self.codes[positions]
        return self._replace(rows=rows, codes=codes, sample_weight=weight)

    def weighed(self, sample_weight, n_records):
        """Return the labels with weights, or raise InvalidECGError if these are not valid."""
        if sample_weight is None:
            return self
        weight = np.asarray(sample_weight)
        if weight.shape != (n_records,) or weight.dtype.kind not in "biuf":
            raise InvalidECGError(
                f"Expected sample_weight of shape ({n_records},), got {weight.dtype} of shape "
                f"{weight.shape}. Pass a number for each record."
            )
        weight = weight[self.rows].astype(np.float64)
        if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
            raise InvalidECGError(
                "Expected sample_weight to be finite, not negative, and not zero for all labelled "
                f"records, got {_abbreviate(weight)}."
            )
        return self._replace(sample_weight=weight / weight.mean())


def read_labels(y, n_records, classes=None, fewest=2):
    """Return the labelled rows of y and their classes, or raise InvalidECGError.

    A y of shape ``(n_records,)`` holds classes; missing values (None, NaN, NA) are unlabelled. So
    is -1 if two other classes occur, or if the sorted `classes` are known and lack it. A y of shape
    ``(n_records, n_classes)`` is an indicator, with rows of missing values or -1 for unlabelled
    records. Unknown classes must be at least `fewest`.
    """
    if y is None:
        raise InvalidECGError("This estimator requires y to be passed, but the target y is None.")
    values = _as_array(y)
    is_missing = pd.isna(values)
    if values.shape[:1] != (n_records,):
        raise InvalidECGError(
            f"y has shape {values.shape}, but there are {n_records} records. Pass the label of "
            "each record, -1, None or NaN for unlabelled ones."
        )
    try:
        if values.ndim == 2 and values.shape[1] > 1:
            return _read_indicator(np.where(is_missing, _UNLABELLED, values), classes)
        present = np.flatnonzero(~column_or_1d(is_missing))
        options = {"ensure_2d": False, "dtype": None, "ensure_min_samples": 0, "input_name": "y"}
        values = column_or_1d(values, warn=True)[present]
        if values.dtype == object and not any(isinstance(label, str) for label in values):
            values = np.array(values.tolist())
        values = check_array(values, **options)
    except InvalidECGError:
        raise
    except ValueError as error:
        raise InvalidECGError(str(error)) from error
    labels = _read_classes(values, classes, fewest)
    return labels._replace(rows=present[labels.rows])


def read_indicator(y, n_records):
    """Return y as a dense array, its labels, and ``(n_records, n_classes)`` of bool.

    In the last, rows of unlabelled records are False.
    """
    y = y.toarray() if sparse.issparse(y) else y
    labels = read_labels(np.ravel(y) if getattr(y, "shape", ())[1:] == (1,) else y, n_records)
    y = np.asarray(y)
    indicator = np.zeros((n_records, len(labels.classes)), bool)
    one_hot = np.eye(len(labels.classes), dtype=bool)
    indicator[labels.rows] = labels.codes if labels.codes.ndim == 2 else one_hot[labels.codes]
    return y.ravel() if y.shape[1:] == (1,) else y, labels, indicator


def _as_array(y):
    """Return y as an array whose missing labels are NaN, None or NA."""
    if sparse.issparse(y):
        return y.toarray()
    is_extension = isinstance(getattr(y, "dtype", None), pd.api.extensions.ExtensionDtype)
    # NumPy would make the text "nan" of NaN beside text, and floats of nullable integers
    y = np.asarray(y, dtype=object if isinstance(y, list | tuple) or is_extension else None)
    if y.dtype.kind in "OUS" and y.ndim == 1:
        if any(isinstance(label, Iterable) and not isinstance(label, str | bytes) for label in y):
            raise InvalidECGError(
                "y has a list of labels for a record. Encode them as an indicator of shape "
                "(n_records, n_classes), with MultiLabelBinarizer of scikit-learn."
            )
        texts = {str(label) for label in y if isinstance(label, str)}
        if texts := {t for t in texts if t.strip().lower() in _MISSING_AS_TEXT or t == "None"}:
            raise InvalidECGError(
                f"y has the text {min(texts)!r}, which looks like a missing label that became "
                "text. Mark unlabelled records by None or NaN."
            )
    return y


def _read_indicator(y, classes):
    y = np.array(y.tolist()) if y.dtype == object else y  # such as nullable columns of pandas
    if y.dtype.kind not in "biuf" or not np.isin(y, (_UNLABELLED, 0, 1)).all():
        raise InvalidECGError(
            "Unknown label type: a 2-D y must be an indicator (n_records, n_classes) of 0 and 1, "
            f"with rows of -1 for unlabelled records, but got {_abbreviate(np.unique(y))}."
        )
    rows = np.flatnonzero((y != _UNLABELLED).any(axis=1))
    codes = y[rows].astype(np.int64)
    if (codes == _UNLABELLED).any():
        row = rows[(codes == _UNLABELLED).any(axis=1)][0]
        raise InvalidECGError(
            f"Row {row} of y is labelled for some classes and -1 for others: {_abbreviate(y[row])}."
            " Label a record for all classes, or set its whole row to -1."
        )
    if classes is not None and len(classes) != y.shape[1]:
        raise InvalidECGError(f"y has {y.shape[1]} classes, but {len(classes)} were seen before.")
    return Labels(rows, codes, np.arange(y.shape[1]))


def _read_classes(y, classes, fewest):
    is_text = [isinstance(label, str) for label in y.tolist()]
    if any(is_text) and (not all(is_text) or str(_UNLABELLED) in y):
        raise InvalidECGError(
            "y mixes text and numbers, or has the text '-1'. Mark unlabelled records by None or "
            "NaN, or encode the classes as 0, 1, ... and the unlabelled records as -1."
        )
    try:
        check_classification_targets(y)
    except ValueError as error:
        raise InvalidECGError(str(error)) from error
    rows = np.arange(len(y))
    if not any(is_text) and y.dtype.kind != "b":
        labelled = np.flatnonzero(y != _UNLABELLED)
        is_class = len(np.unique(y[labelled])) < 2 if classes is None else _UNLABELLED in classes
        rows = rows if is_class else labelled
    observed, codes = np.unique(y[rows], return_inverse=True)
    if classes is None and len(observed) < fewest:
        raise InvalidECGError(
            f"y must have at least {fewest} classes, but the only class is {_abbreviate(observed)}."
        )
    classes = observed if classes is None else classes
    if not np.isin(observed, classes).all():
        raise InvalidECGError(
            f"y has classes {_abbreviate(observed)}, but expected {_abbreviate(classes)}."
        )
    return Labels(rows, np.searchsorted(classes, observed)[codes], classes)


def hold_out(codes, groups, fraction, seed, n_tries=50):
    """Return positions to train on and to hold out, with no group on both sides.

    Of `n_tries` random splits, it is the one that keeps most classes in training, then the one with
    the most similar class frequencies on both sides.
    """
    if len(np.unique(groups)) < 2:
        raise InvalidECGError(
            "Early stopping holds out patients, but all labelled records are of one group. Label "
            "records of another patient, or set early_stopping=False."
        )
    indicator = codes if codes.ndim == 2 else codes[:, None] == np.unique(codes)
    splitter = GroupShuffleSplit(n_tries, test_size=fraction, random_state=seed)

    def imbalance(split):
        train, test = (indicator[positions].mean(axis=0) for positions in split)
        return np.sum(train == 0), np.abs(train - test).sum()

    return min(splitter.split(codes, groups=groups), key=imbalance)


def class_weights(class_weight, codes, classes):
    """Return the weight of each class, or ``(2, n_classes)`` of absence and presence of labels."""
    if codes.ndim == 2:
        n_labels = len(classes)
        per_label = class_weight if isinstance(class_weight, list) else [class_weight] * n_labels
        if len(per_label) != n_labels or isinstance(class_weight, dict):
            raise InvalidECGError(
                f"class_weight does not fit the classes: y has {n_labels} columns, so class_weight "
                f"must be 'balanced', None or a list of {n_labels} dicts, but got {class_weight!r}."
            )
        columns = zip(per_label, codes.T, strict=True)
        weights = [class_weights(weight, column, np.arange(2)) for weight, column in columns]
        return np.stack(weights, axis=1)
    if class_weight == "balanced":
        counts = np.bincount(codes, minlength=len(classes))
        return len(codes) / (len(classes) * np.maximum(counts, 1))
    try:
        weights = compute_class_weight(class_weight, classes=classes, y=classes)
    except (ValueError, TypeError) as error:
        raise InvalidECGError(f"class_weight does not fit the classes: {error}") from error
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise InvalidECGError(
            "Expected class_weight to be finite, not negative, and not zero for all classes, got "
            f"{class_weight}."
        )
    return weights


def weighted_targets(codes, weights, sample_weight=None):
    """Return the weight of each record's class, else 0, ``(n_records, n_classes)``.

    For an indicator or probabilities: of absence and presence, ``(n_records, n_classes, 2)``.
    """
    if codes.ndim == 1:
        targets = np.eye(len(weights))[codes] * weights
    else:
        targets = np.stack([1 - codes, codes], axis=-1) * weights.T
    if sample_weight is not None:
        targets = targets * sample_weight.reshape(-1, *[1] * (targets.ndim - 1))
    return targets.astype(np.float32)


def _abbreviate(values):
    return np.array2string(np.asarray(values), threshold=10)
