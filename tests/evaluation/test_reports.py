"""Tests of the figures: equal to scikit-learn's and, for human readers, to published ones."""

import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, chi2

from sklearn_bell.evaluation import classification_report_ci, compare_readers
from tests.evaluation._data import (
    CLASSES,
    GUESSES,
    LABELS,
    PREDICTED,
    PROBABILITIES,
    RATERS,
    READERS,
    SCORES,
    TRUTH,
    slow_figures,
    slow_kappa,
    slow_rates,
)


def one_hot(labels, classes):
    return (np.asarray(labels)[:, None] == np.asarray(classes)).astype(int)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "y_score", "classes"),
    [
        (LABELS, GUESSES, PROBABILITIES, [0, 1, 2]),
        (np.array(CLASSES)[LABELS], np.array(CLASSES)[GUESSES], PROBABILITIES, CLASSES),
        (LABELS > 1, GUESSES > 1, SCORES[:, 2], [False, True]),
        (2.0 * (LABELS > 1), 2.0 * (GUESSES > 1), SCORES[:, 1:], [0.0, 2.0]),
        (TRUTH, PREDICTED, SCORES, None),
        (TRUTH.astype(bool).tolist(), PREDICTED, SCORES, None),
    ],
    ids=["integers", "text", "booleans", "floats", "indicator", "list"],
)
def test_report_equals_scikit_learn(y_true, y_pred, y_score, classes):
    report = classification_report_ci(y_true, y_pred, y_score, n_bootstraps=2)
    truth, predicted = np.array(y_true), np.array(y_pred)
    if classes is not None:
        truth, predicted = one_hot(y_true, classes), one_hot(y_pred, classes)
    score = np.stack([-y_score, y_score], 1) if np.ndim(y_score) == 1 else y_score
    figures = [
        slow_figures(*columns) for columns in zip(truth.T, predicted.T, score.T, strict=True)
    ]
    expected = pd.DataFrame(figures, index=[0, 1, 2] if classes is None else classes)
    expected.loc["macro"] = expected.mean()
    pd.testing.assert_frame_equal(report[expected.columns], expected, check_names=False)
    assert report["support"].tolist() == [*truth.sum(axis=0), truth.sum()]


def test_report_columns_are_figures_intervals_and_support():
    report = classification_report_ci(TRUTH, PREDICTED, SCORES, n_bootstraps=2)
    names = ["precision", "sensitivity", "specificity", "f1", "auroc", "auprc"]
    expected = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    assert report.columns.tolist() == [*expected, "support"]
    without_scores = classification_report_ci(TRUTH, PREDICTED, n_bootstraps=2)
    assert without_scores.columns.tolist() == [*expected[:12], "support"]


def test_undefined_figures_are_nan_and_not_in_the_macro_mean():
    truth, predicted = TRUTH.copy(), PREDICTED.copy()
    truth[:, 1] = predicted[:, 1] = 0
    report = classification_report_ci(truth, predicted, SCORES, n_bootstraps=20)
    rates = {"specificity": 1, "specificity_low": 1, "specificity_high": 1}
    assert report.loc[1].dropna().to_dict() == {**rates, "support": 0}
    names = ["precision", "sensitivity", "f1", "auroc", "auprc"]
    expected = report.loc[[0, 2], names].mean()
    pd.testing.assert_series_equal(report.loc["macro", names], expected, check_names=False)
    assert np.isfinite(report.loc["macro"].astype(float)).all()


def test_comparison_lists_the_model_first_and_every_pair():
    scores, pairs = compare_readers(TRUTH, PREDICTED, READERS, class_names=CLASSES, n_bootstraps=2)
    readers = ["model", "student", "resident"]
    assert scores.index.names == ["class", "reader"]
    assert scores.index.tolist() == [(name, reader) for name in CLASSES for reader in readers]
    assert pairs.index.names == ["class", "first", "second"]
    assert pairs.index.tolist() == [
        (name, *pair) for name in CLASSES for pair in combinations(readers, 2)
    ]
    rates = ["precision", "sensitivity", "specificity", "f1", "kappa"]
    ends = ("", "_low", "_high")
    assert scores.columns.tolist() == [f"{name}{end}" for name in rates for end in ends]
    names = [*(f"{name}_difference" for name in rates), "kappa_between"]
    discordant = ["only_first_right", "only_second_right", "mcnemar_exact", "mcnemar_asymptotic"]
    assert pairs.columns.tolist() == [f"{name}{end}" for name in names for end in ends] + discordant


def test_comparison_equals_scikit_learn():
    scores, pairs = compare_readers(TRUTH, PREDICTED, READERS, n_bootstraps=2)
    for (k, reader), row in scores.iterrows():
        truth, answers = TRUTH[:, k], RATERS[reader][:, k]
        expected = slow_rates(truth, answers) | {"kappa": slow_kappa(truth, answers)}
        assert row[[*expected]].to_dict() == pytest.approx(expected)
    for (k, first, second), row in pairs.iterrows():
        kappa = slow_kappa(RATERS[first][:, k], RATERS[second][:, k])
        assert row["kappa_between"] == pytest.approx(kappa)
        difference = scores.loc[k, first] - scores.loc[k, second]
        for name in ("precision", "sensitivity", "specificity", "f1", "kappa"):
            assert row[f"{name}_difference"] == pytest.approx(difference[name])


@pytest.mark.parametrize(
    ("columns", "expected"),
    [("difference", 0), ("kappa_between", 1), ("mcnemar", 1), ("only", 0)],
)
def test_reader_who_repeats_the_model_has_no_difference(columns, expected):
    pairs = compare_readers(TRUTH, PREDICTED, {"echo": PREDICTED}, random_state=0)[1]
    assert (pairs.filter(like=columns) == expected).all(axis=None)


def test_kappa_of_constant_readers_is_nan():
    constant = np.zeros_like(TRUTH)
    pairs = compare_readers(TRUTH, constant, {"echo": constant}, random_state=0)[1]
    assert pairs.filter(like="kappa_between").isna().all(axis=None)


def test_mcnemar_equals_the_binomial_test_and_the_textbook_formula():
    pairs = compare_readers(TRUTH, PREDICTED, READERS, n_bootstraps=2)[1]
    for (k, first, second), row in pairs.iterrows():
        right = [RATERS[reader][:, k] == TRUTH[:, k] for reader in (first, second)]
        b, c = np.sum(right[0] & ~right[1]), np.sum(~right[0] & right[1])
        assert (row["only_first_right"], row["only_second_right"]) == (b, c)
        assert row["mcnemar_exact"] == pytest.approx(binomtest(b, b + c).pvalue)
        assert row["mcnemar_asymptotic"] == pytest.approx(chi2.sf((b - c) ** 2 / (b + c), 1))
    assert (pairs["only_first_right"] != pairs["only_second_right"]).any()


@pytest.fixture
def code_test():
    home = os.environ.get("SKLEARN_BELL_DATA")
    if not home or not Path(home, "code-test").is_dir():
        pytest.skip(
            "needs CODE-test: SKLEARN_BELL_DATA is not set to a folder that holds code-test"
        )
    return Path(home, "code-test")


def test_comparison_equals_all_scores_of_ribeiro_et_al(code_test):
    """Table 2 of Ribeiro et al., Nature Communications 11, 1760, 2020: 96 scores."""
    files = {
        "cardio.": "cardiology_residents",
        "emerg.": "emergency_residents",
        "stud.": "medical_students",
    }
    truth = pd.read_csv(code_test / "annotations/gold_standard.csv")
    model = pd.read_csv(code_test / "annotations/dnn.csv", index_col=0)
    readers = {
        name: pd.read_csv(code_test / f"annotations/{file}.csv") for name, file in files.items()
    }
    scores, pairs = compare_readers(truth, model, readers, random_state=0)
    published = pd.read_csv(
        code_test / "published_scores.csv", header=[0, 1], index_col=0, dtype=str
    )
    columns = {
        "Precision": "precision",
        "Recall": "sensitivity",
        "Specificity": "specificity",
        "F1 score": "f1",
    }
    figures = {
        (name, reader, score): f"{scores.loc[(name, row), column]:.3f}"
        for name in truth.columns
        for reader, row in [("DNN", "model"), *((reader, reader) for reader in readers)]
        for score, column in columns.items()
    }
    expected = {key: published.loc[key[0], (key[2], key[1])] for key in figures}
    assert len(figures) == published.size == 96
    assert figures == expected
    # the intervals show no reader with a higher F1 than the model
    assert (pairs.xs("model", level="first")["f1_difference_high"] >= 0).all()
