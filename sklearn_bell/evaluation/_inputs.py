"""Conversion of labels, predictions and scores to arrays (n_records, n_classes)."""

import numpy as np
import pandas as pd

from sklearn_bell._utils.labels import read_labels
from sklearn_bell.exceptions import InvalidECGError


def read_predictions(y_true, y_pred, class_names):
    """Return the class names and two indicators (n_records, n_classes)."""
    if np.ndim(y_true) == 2:
        names = read_names(y_true, class_names)
        truth = read_indicator(y_true, "y_true", names, y_true)
        return names, truth, read_indicator(y_pred, "y_pred", names, y_true)
    _check_index(y_pred, "y_pred", y_true)
    y_true, y_pred = (np.asarray(y, dtype=object) for y in (y_true, y_pred))
    if y_true.ndim != 1 or y_true.shape != y_pred.shape:
        raise InvalidECGError(
            f"Expected y_true and y_pred of the same shape, got {y_true.shape} and {y_pred.shape}. "
            "Pass scores as y_score."
        )
    fewest = 2 if class_names is None else 1
    labels = read_labels(np.concatenate([y_true, y_pred]), 2 * len(y_true), fewest=fewest)
    if len(labels.rows) < 2 * len(y_true):
        raise InvalidECGError("y_true or y_pred has unlabelled records (-1). Leave them out.")
    observed = labels.classes.tolist()
    names = observed if class_names is None else read_names(y_true, class_names)
    known = names if set(observed) <= set(names) else list(range(len(names)))
    if not set(observed) <= set(known):
        raise InvalidECGError(
            f"Expected classes or positions in class_names {names}, got {observed}. Add the others."
        )
    positions = np.array([known.index(label) for label in observed])
    indicator = np.eye(len(names))[positions[labels.codes]]
    return names, *np.split(indicator, 2)


def read_raters(indicators, class_names):
    """Return the class names and the indicators of a dict, the first of which is the reference."""
    for name, values in indicators.items():
        if np.ndim(values) != 2:
            raise InvalidECGError(
                f"Expected {name} of shape (n_records, n_classes), got {np.shape(values)}. Give a "
                "single class as one column."
            )
    y_true = next(iter(indicators.values()))
    names = read_names(y_true, class_names)
    return names, [read_indicator(table, name, names, y_true) for name, table in indicators.items()]


def read_names(y_true, class_names):
    """Return `class_names`, or else the columns of a DataFrame, or else numbers."""
    columns = pd.DataFrame(y_true).columns if class_names is None else pd.Index(class_names)
    names = columns.tolist()
    if len(set(names)) < len(names):
        raise InvalidECGError(f"Expected different class names, got {names}. Rename the classes.")
    return names


def read_scores(y_score, names, y_true):
    """Return scores (n_records, n_classes); one column for two classes scores the second."""
    _check_index(y_score, "y_score", y_true)
    if np.ndim(y_score) == np.ndim(y_true) == 1 and len(names) == 2:
        y_score = np.outer(y_score, [-1, 1])
    scores = _read_columns(y_score, "y_score", names, y_true)
    invalid = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(invalid):
        raise InvalidECGError(f"y_score is not finite, first in record {invalid[0]}. Leave it out.")
    return scores


def read_indicator(values, name, names, y_true):
    """Return an array (n_records, n_classes) of zeros and ones."""
    values = _read_columns(values, name, names, y_true)
    invalid = values[(values != 0) & (values != 1)]
    if len(invalid):
        raise InvalidECGError(
            f"Expected zeros and ones in {name}, got {invalid[0]}. Threshold scores, and drop "
            "unlabelled records."
        )
    return values


def _check_index(values, name, y_true):
    """Refuse a DataFrame or Series whose index differs from that of y_true."""
    indexed = all(isinstance(table, (pd.DataFrame, pd.Series)) for table in (values, y_true))
    if indexed and not values.index.equals(y_true.index):
        raise InvalidECGError(
            f"{name} and y_true differ in row labels. Align them with .loc, or drop labels with "
            ".reset_index(drop=True)."
        )


def _read_columns(values, name, names, y_true):
    """Return floats (n_records, n_classes), the columns of a DataFrame ordered by name."""
    _check_index(values, name, y_true)
    if isinstance(values, pd.DataFrame):
        if len(values.columns) != len(names) or set(values.columns) != set(names):
            raise InvalidECGError(
                f"{name} has the columns {list(values.columns)}, but the classes are {names}. Give "
                "all DataFrames the same columns, or use arrays and class_names."
            )
        values = values[names]
    try:
        values = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise InvalidECGError(f"Expected numbers in {name}: {error}. Convert them.") from error
    expected = (len(y_true), len(names))
    if values.shape != expected:
        raise InvalidECGError(
            f"Expected {name} of shape {expected}, with a column for each of the classes {names}, "
            f"got {values.shape}. Name all classes with class_names."
        )
    return values
