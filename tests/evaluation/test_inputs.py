"""Tests of the inputs of evaluation: classes, DataFrames and errors."""

import numpy as np
import pandas as pd
import pytest

from sklearn_bell.evaluation import classification_report_ci, compare_readers
from sklearn_bell.exceptions import InvalidECGError
from tests.evaluation._data import (
    CLASSES,
    GROUPS,
    GUESSES,
    LABELS,
    N_RECORDS,
    PREDICTED,
    PROBABILITIES,
    READERS,
    SCORES,
    STUDENT,
    TRUTH,
)

FRAME = pd.DataFrame(TRUTH, columns=CLASSES)
GAPPY = TRUTH.astype(float)
GAPPY[4, 1] = np.nan


def test_classes_are_names_or_positions():
    names = ["lvh", "afib", "lbbb", "normal"]  # no record has the first
    scores = np.column_stack([np.zeros(N_RECORDS), PROBABILITIES])
    kwargs = {"class_names": names, "random_state": 0}
    text = np.array(CLASSES)
    by_name = classification_report_ci(text[LABELS], text[GUESSES], scores, **kwargs)
    by_position = classification_report_ci(LABELS + 1, GUESSES + 1, scores, **kwargs)
    pd.testing.assert_frame_equal(by_name, by_position)
    assert by_name.index.tolist() == [*names, "macro"]
    assert by_name.loc["lvh", "support"] == 0
    plain = classification_report_ci(LABELS, GUESSES, PROBABILITIES, random_state=0)
    np.testing.assert_array_equal(by_name[1:-1], plain[:-1])


@pytest.mark.parametrize("observed", ["a", 0])
def test_single_class_suffices_with_class_names(observed):
    report = classification_report_ci([observed] * 5, [observed] * 5, class_names=["a", "b"])
    assert report.loc["a", "f1"] == 1
    assert np.isnan(report.loc["a", "specificity"])


def test_scores_of_a_dataframe_are_ordered_by_name():
    y_true, y_pred = np.array(CLASSES)[LABELS], np.array(CLASSES)[GUESSES]
    expected = classification_report_ci(y_true, y_pred, PROBABILITIES, random_state=0)
    frame = pd.DataFrame(PROBABILITIES, columns=CLASSES)[["normal", "afib", "lbbb"]]
    report = classification_report_ci(y_true, y_pred, frame, random_state=0)
    pd.testing.assert_frame_equal(report, expected)


def test_readers_of_dataframes_are_ordered_by_name():
    options = {"n_bootstraps": 10, "random_state": 0}
    readers = {
        name: pd.DataFrame(values, columns=CLASSES)[["normal", "lbbb", "afib"]]
        for name, values in READERS.items()
    }
    tables = compare_readers(FRAME, PREDICTED, readers, **options)
    expected = compare_readers(TRUTH, PREDICTED, READERS, class_names=CLASSES, **options)
    pd.testing.assert_frame_equal(tables[0], expected[0])
    pd.testing.assert_frame_equal(tables[1], expected[1])


@pytest.mark.parametrize("name", ["y_pred", "y_score"])
def test_series_rows_must_match(name):
    y_true = pd.Series([0, 1, 1, 0], index=[3, 2, 1, 0])
    series = {"y_pred": y_true, "y_score": pd.Series([0.1, 0.9, 0.8, 0.2], index=y_true.index)}
    classification_report_ci(y_true, **series, n_bootstraps=10)
    series[name] = series[name].reset_index(drop=True)
    with pytest.raises(InvalidECGError, match=f"{name} and y_true differ in row labels"):
        classification_report_ci(y_true, **series, n_bootstraps=10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((LABELS, GUESSES[:-1]), r"same shape, got \(60,\) and \(59,\)"),
        ((LABELS, PROBABILITIES), "Pass scores as y_score"),
        ((LABELS, SCORES[:, 0]), "Unknown label type"),
        ((LABELS, np.array(CLASSES)[GUESSES]), "mixes text and numbers"),
        ((LABELS - 1, GUESSES - 1), r"unlabelled records \(-1\). Leave them out"),
        ((TRUTH, PREDICTED - 1), "zeros and ones in y_pred, got -1"),
        ((TRUTH, SCORES), "zeros and ones in y_pred.* Threshold scores"),
        ((GAPPY, TRUTH), "zeros and ones in y_true, got nan"),
        ((TRUTH, np.array(CLASSES)[PREDICTED]), "Expected numbers in y_pred"),
        ((TRUTH, PREDICTED[:-1]), r"y_pred of shape \(60, 3\), .* got \(59, 3\)"),
        ((TRUTH, PREDICTED[:, 0]), r"y_pred of shape \(60, 3\), .* got \(60,\)"),
        ((LABELS, GUESSES, PROBABILITIES[:, :2]), r"y_score of .* got \(60, 2\).* class_names"),
        ((LABELS, GUESSES, SCORES[:, 0]), r"y_score of shape \(60, 3\), .* got \(60,\)"),
        ((TRUTH, PREDICTED, GAPPY), "y_score is not finite, first in record 4"),
        ((FRAME, FRAME.rename(columns={"afib": "AF"})), r"y_pred has the columns \['AF'"),
        ((FRAME, FRAME[::-1]), r"y_pred and y_true differ in row labels.* \.loc"),
        ((TRUTH, FRAME), r"y_pred has the columns .*, but the classes are \[0, 1, 2\]"),
    ],
)
def test_invalid_predictions_raise(arguments, message):
    with pytest.raises(InvalidECGError, match=message):
        classification_report_ci(*arguments)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"groups": GROUPS[:-1]}, "groups"),
        ({"groups": [None, *GROUPS[1:]]}, "groups"),
        ({"groups": np.ones(N_RECORDS)}, r"at least 2 patients, got 60 record\(s\) of 1"),
        ({"class_names": ["a", "b", "macro"]}, "named 'macro'"),
        ({"class_names": ["a", "b", "b"]}, "Expected different class names"),
        ({"class_names": ["a", "b"]}, r"in class_names .*got \[0, 1, 2\]"),
        ({"n_bootstraps": 0}, "n_bootstraps"),
        ({"confidence": 95}, "confidence"),
        ({"random_state": "seed"}, "random_state"),
    ],
)
def test_invalid_parameters_raise(parameters, message):
    with pytest.raises(ValueError, match=message):
        classification_report_ci(LABELS, GUESSES, **parameters)


@pytest.mark.parametrize(
    ("y_model", "readers", "message"),
    [
        (PREDICTED, {"model": STUDENT}, r"none named 'model', got \['model'\]"),
        (PREDICTED, {}, "one reader or more.*classification_report_ci"),
        (SCORES, READERS, "zeros and ones in y_model.* Threshold scores"),
        (PREDICTED[:, :2], READERS, r"y_model of shape \(60, 3\), .* got \(60, 2\)"),
        (PREDICTED[:, 0], READERS, r"y_model of shape \(n_records, n_classes\), got \(60,\)"),
        (PREDICTED, {"student": STUDENT[1:]}, r"readers\['student'\] of .* got \(59, 3\)"),
        (PREDICTED, {"student": FRAME * 2}, r"zeros and ones in readers\['student'\], got 2"),
        (PREDICTED, {"student": FRAME[["afib", "lbbb"]]}, r"readers\['student'\] has the columns"),
        (PREDICTED, {"student": FRAME.shift(1)[1:]}, r"readers\['student'\] and y_true differ"),
    ],
)
def test_invalid_readers_raise(y_model, readers, message):
    with pytest.raises(InvalidECGError, match=message):
        compare_readers(FRAME, y_model, readers)
