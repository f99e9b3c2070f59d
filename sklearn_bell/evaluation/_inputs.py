"""Truth, predictions and scores of many kinds, as one column for each class."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sklearn_bell._utils.labels import read_labels
from sklearn_bell.exceptions import InvalidECGError


def read_predictions(y_true, y_pred, class_names):
    """Return names of the classes, and two indicators (n_records, n_classes)."""
    if np.ndim(y_true) == 2:
        names = read_names(y_true, class_names)
        truth = read_indicator(y_true, "y_true", names, y_true)
        return names, truth, read_indicator(y_pred, "y_pred", names, y_true)
    _check_rows(y_pred, "y_pred", y_true)
    y_true, y_pred = (np.asarray(y, dtype=object) for y in (y_true, y_pred))
    if y_true.ndim != 1 or y_true.shape != y_pred.shape:
        raise InvalidECGError(
            f"y_true has shape {y_true.shape} and y_pred {y_pred.shape}, but expected a class for "
            "each record in both, or an indicator (n_records, n_classes) in both. Scores go into "
            "y_score."
        )
    fewest = 2 if class_names is None else 1
    labels = read_labels(np.concatenate([y_true, y_pred]), 2 * len(y_true), fewest=fewest)
    if len(labels.rows) < 2 * len(y_true):
        raise InvalidECGError("y_true or y_pred has unlabelled records (-1); leave them out.")
    found = labels.classes.tolist()
    names = found if class_names is None else read_names(y_true, class_names)
    if set(found) <= set(names):
        positions = [names.index(label) for label in found]
    elif set(found) <= set(range(len(names))):
        positions = [int(label) for label in found]
    else:
        raise InvalidECGError(
            f"The classes must be among class_names {names} or be positions in them, but y_true "
            f"and y_pred have {found}."
        )
    indicator = np.eye(len(names))[np.array(positions)[labels.codes]]
    return names, *np.split(indicator, 2)


def read_names(y_true, class_names):
    """Return the names of the classes: given, or of columns, or numbers."""
    if class_names is not None:
        names = pd.Index(class_names).tolist()
    elif isinstance(y_true, pd.DataFrame):
        names = y_true.columns.tolist()
    else:
        names = list(range(np.shape(y_true)[-1]))
    if len(set(names)) < len(names):
        raise InvalidECGError(f"Each class needs a name of its own, but the names are {names}.")
    return names


def read_scores(y_score, names, y_true):
    """Return scores (n_records, n_classes), also of one column that is of the second of two."""
    _check_rows(y_score, "y_score", y_true)
    if np.ndim(y_score) == np.ndim(y_true) == 1 and len(names) == 2:
        y_score = np.asarray(y_score, dtype=float)
        y_score = np.stack([-y_score, y_score], axis=1)
    scores = _read_columns(y_score, "y_score", names, y_true)
    if not np.isfinite(scores).all():
        record = np.argwhere(~np.isfinite(scores))[0][0]
        raise InvalidECGError(f"y_score contains NaN or infinity: first in record {record}.")
    return scores


def read_indicator(values, what, names, y_true):
    """Return (n_records, n_classes) of zeros and ones."""
    values = _read_columns(values, what, names, y_true)
    strange = values[(values != 0) & (values != 1)]
    if len(strange):
        raise InvalidECGError(
            f"{what} must be 1 where a record has a class and 0 where not, but has {strange[0]}. "
            "Compare scores with a threshold first, and leave unlabelled records out."
        )
    return values


def _check_rows(values, what, y_true):
    """Refuse rows that have other labels than those of y_true, where both have any."""
    labelled = all(isinstance(one, (pd.DataFrame, pd.Series)) for one in (values, y_true))
    if labelled and not values.index.equals(y_true.index):
        raise InvalidECGError(
            f"The rows of {what} are labelled otherwise than those of y_true. Bring them into one "
            "order with .loc, or drop the labels with .reset_index(drop=True)."
        )


def _read_columns(values, what, names, y_true):
    """Return numbers (n_records, n_classes), with the columns of a DataFrame ordered by name."""
    _check_rows(values, what, y_true)
    if isinstance(values, pd.DataFrame):
        if len(values.columns) != len(names) or set(values.columns) != set(names):
            raise InvalidECGError(
                f"{what} has the columns {list(values.columns)}, but the classes are {names}. Give "
                "all DataFrames the same columns, or arrays and class_names."
            )
        values = values[names]
    try:
        values = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise InvalidECGError(f"{what} must be numbers (n_records, n_classes): {error}") from error
    expected = (len(y_true), len(names))
    if values.shape != expected:
        raise InvalidECGError(
            f"{what} has shape {values.shape}, but expected {expected}: as many records as y_true, "
            f"and a column for each of the classes {names}. Classes that occur in no record are "
            "made known by class_names."
        )
    return values
