"""Figures are scikit-learn's, intervals those of a loop over patients, and doctors' the published.

All 96 scores that Ribeiro et al. (Nature Communications 11, 1760, 2020) print in their Table 2 come
out of compare_readers, to the third decimal.
"""

import os
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, chi2
from sklearn import metrics

from sklearn_bell.evaluation import _bootstrap as _metrics
from sklearn_bell.evaluation import classification_report_ci, compare_readers
from sklearn_bell.exceptions import InvalidECGError

N_RECORDS, CLASSES = 60, ["afib", "lbbb", "normal"]
rng = np.random.default_rng(0)
GROUPS = rng.permutation(np.repeat(np.arange(100, 120), 3))  # 20 patients, 3 records each
TRUTH = rng.integers(0, 2, (N_RECORDS, 3))
SCORES = (TRUTH + 2 * rng.random((N_RECORDS, 3))).round(1)  # with ties
PREDICTED, STUDENT = (SCORES > 1.4).astype(int), (rng.random((N_RECORDS, 3)) < SCORES).astype(int)
RESIDENT = np.where(rng.random((N_RECORDS, 3)) < 0.2, 1 - TRUTH, TRUTH)
READERS = {"student": STUDENT, "resident": RESIDENT}
LABELS, GUESSES = SCORES.argmax(axis=1), (SCORES + rng.random((N_RECORDS, 3))).argmax(axis=1)
PROBABILITIES = SCORES / SCORES.sum(axis=1, keepdims=True)


def slow_rates(truth, predicted):
    """Return what scikit-learn makes of one class."""
    kwargs = {"zero_division": np.nan}
    return {
        "precision": metrics.precision_score(truth, predicted, **kwargs),
        "sensitivity": metrics.recall_score(truth, predicted, **kwargs),
        "specificity": metrics.recall_score(truth, predicted, pos_label=0, **kwargs),
        "f1": metrics.f1_score(truth, predicted, **kwargs),
    }


def slow_scores(truth, predicted, score):
    """Return what scikit-learn makes of one class with its score."""
    both = 0 < truth.mean() < 1
    return slow_rates(truth, predicted) | {
        "auroc": metrics.roc_auc_score(truth, score) if both else np.nan,
        "auprc": metrics.average_precision_score(truth, score) if truth.any() else np.nan,
    }


def slow_kappa(first, second):
    constant = len(set(first) | set(second)) < 2
    return np.nan if constant else metrics.cohen_kappa_score(first, second)


def slow_draws(groups, n_draws, seed):
    """Yield the rows of patients drawn with replacement, one patient after the other."""
    random = np.random.RandomState(seed)
    patients = np.unique(groups)
    for _ in range(n_draws):
        drawn = patients[random.randint(len(patients), size=len(patients))]
        yield np.concatenate([np.flatnonzero(groups == patient) for patient in drawn])


def quantiles(values, confidence):
    return np.nanquantile(values, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)


def width(table, metric):
    return table[f"{metric}_high"] - table[f"{metric}_low"]


# The report -------------------------------------------------------------------------------------


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
def test_figures_are_those_of_scikit_learn(y_true, y_pred, y_score, classes):
    report = classification_report_ci(y_true, y_pred, y_score, n_bootstraps=2)
    truth, predicted = np.array(y_true), np.array(y_pred)
    if classes is not None:
        truth, predicted = one_hot(y_true, classes), one_hot(y_pred, classes)
    score = np.stack([-y_score, y_score], 1) if np.ndim(y_score) == 1 else y_score
    slow = [slow_scores(*each) for each in zip(truth.T, predicted.T, score.T, strict=True)]
    expected = pd.DataFrame(slow, index=[0, 1, 2] if classes is None else classes)
    expected.loc["macro"] = expected.mean()
    pd.testing.assert_frame_equal(report[expected.columns], expected, check_names=False)
    assert report["support"].tolist() == [*truth.sum(axis=0), truth.sum()]


def test_columns_are_each_figure_its_interval_and_the_support():
    report = classification_report_ci(TRUTH, PREDICTED, SCORES, n_bootstraps=2)
    names = ["precision", "sensitivity", "specificity", "f1", "auroc", "auprc"]
    expected = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    assert report.columns.tolist() == [*expected, "support"]
    bare = classification_report_ci(TRUTH, PREDICTED, n_bootstraps=2)
    assert bare.columns.tolist() == [*expected[:12], "support"]


@pytest.mark.parametrize("grouped", [True, False])
def test_intervals_are_those_of_a_loop_that_draws_patients(grouped):
    groups = GROUPS if grouped else np.arange(N_RECORDS)
    truth = TRUTH.copy()
    truth[:, 2] = groups == groups[0]  # one patient: a third of the draws have none
    report = classification_report_ci(
        truth,
        PREDICTED,
        SCORES,
        groups=GROUPS if grouped else None,
        n_bootstraps=50,
        confidence=0.8,
        random_state=3,
    )
    draws = []
    for rows in slow_draws(groups, 50, 3):
        each = zip(truth[rows].T, PREDICTED[rows].T, SCORES[rows].T, strict=True)
        found = pd.DataFrame([slow_scores(*of_class) for of_class in each])
        found.loc["macro"] = found.mean()
        draws.append(found)
    assert np.isnan(draws).any()
    low, high = quantiles(np.array(draws), 0.8)
    np.testing.assert_allclose(report[[f"{name}_low" for name in draws[0]]], low)
    np.testing.assert_allclose(report[[f"{name}_high" for name in draws[0]]], high)


def test_draws_do_not_depend_on_how_many_are_held_together(monkeypatch):
    expected = classification_report_ci(TRUTH, PREDICTED, SCORES, random_state=0)
    monkeypatch.setattr(_metrics, "_CHUNK", 7 * N_RECORDS)
    found = classification_report_ci(TRUTH, PREDICTED, SCORES, random_state=0)
    pd.testing.assert_frame_equal(found, expected)


def test_what_cannot_be_known_is_nan_and_not_in_the_macro_figure():
    truth, predicted = TRUTH.copy(), PREDICTED.copy()
    truth[:, 1] = predicted[:, 1] = 0
    report = classification_report_ci(truth, predicted, SCORES, n_bootstraps=20)
    absent = report.loc[1].dropna()
    assert absent.to_dict() == {
        "specificity": 1,
        "specificity_low": 1,
        "specificity_high": 1,
        "support": 0,
    }
    for name in ("precision", "sensitivity", "f1", "auroc", "auprc"):
        assert report.loc["macro", name] == pytest.approx(report.loc[[0, 2], name].mean())
        assert np.isfinite(report.loc["macro", f"{name}_low"])


def test_patients_whose_records_are_all_there_twice_tell_no_more():
    once = classification_report_ci(TRUTH, PREDICTED, SCORES, groups=GROUPS, random_state=0)
    twice = (np.tile(values, (2, 1)) for values in (TRUTH, PREDICTED, SCORES))
    again = classification_report_ci(*twice, groups=np.tile(GROUPS, 2), random_state=0)
    assert (again.pop("support") == 2 * once.pop("support")).all()
    pd.testing.assert_frame_equal(again, once)


def test_copies_taken_for_independent_make_intervals_too_narrow():
    four = [np.tile(values, (4, 1)) for values in (TRUTH, PREDICTED, SCORES)]
    patients = np.tile(np.arange(N_RECORDS), 4)
    honest = classification_report_ci(*four, groups=patients, random_state=0)
    naive = classification_report_ci(*four, random_state=0)
    for name in ("sensitivity", "f1", "auroc", "auprc"):
        ratio = width(honest, name) / width(naive, name)
        assert ratio.between(1.7, 2.3).all()  # the square root of 4


def test_intervals_hold_the_truth_as_often_as_they_say():
    random = np.random.default_rng(0)
    patients = np.repeat(np.arange(80), 4)
    covered = np.zeros(2)
    for seed in range(200):
        truth = np.repeat(random.random(80) < 0.5, 4)
        predicted = np.where(np.repeat(random.random(80) < 0.8, 4), truth, ~truth)
        for i, groups in enumerate((patients, None)):
            table = classification_report_ci(
                truth, predicted, groups=groups, n_bootstraps=200, random_state=seed
            ).iloc[1]
            covered[i] += table["sensitivity_low"] <= 0.8 <= table["sensitivity_high"]
    assert 180 <= covered[0] <= 198
    assert covered[1] < 150


def test_wider_confidence_gives_wider_intervals():
    tables = [
        classification_report_ci(TRUTH, PREDICTED, confidence=confidence, random_state=0)
        for confidence in (0.5, 0.9, 0.99)
    ]
    for narrow, wide in pairwise(tables):
        assert (width(wide, "f1") > width(narrow, "f1")).all()


def test_a_seed_makes_draws_repeatable_and_none_does_not():
    seeds = (0, 0, 1, None, None)
    reports = [classification_report_ci(TRUTH, PREDICTED, random_state=seed) for seed in seeds]
    same = [reports[i].equals(reports[j]) for i, j in ((0, 1), (0, 2), (3, 4))]
    assert same == [True, False, False]


def test_the_order_of_records_changes_nothing_where_patients_are_named():
    order = np.random.default_rng(1).permutation(N_RECORDS)
    arrays = (TRUTH, PREDICTED, SCORES)
    mixed = [values[order] for values in arrays]
    expected = classification_report_ci(*arrays, groups=GROUPS, random_state=0)
    found = classification_report_ci(*mixed, groups=GROUPS[order], random_state=0)
    pd.testing.assert_frame_equal(found, expected)
    # without names the n-th record is another one, so that intervals differ by chance only
    expected = classification_report_ci(*arrays, n_bootstraps=4000, random_state=0)
    found = classification_report_ci(*mixed, n_bootstraps=4000, random_state=0)
    pd.testing.assert_frame_equal(found, expected, rtol=0, atol=0.03)


def test_names_of_patients_may_be_text():
    expected = classification_report_ci(TRUTH, PREDICTED, groups=GROUPS, random_state=0)
    names = [f"patient {number}" for number in GROUPS]
    found = classification_report_ci(TRUTH, PREDICTED, groups=names, random_state=0)
    pd.testing.assert_frame_equal(found, expected)


def test_classes_are_names_or_positions_in_them():
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


def test_scores_of_a_dataframe_go_to_the_classes_they_are_named_after():
    y_true, y_pred = np.array(CLASSES)[LABELS], np.array(CLASSES)[GUESSES]
    expected = classification_report_ci(y_true, y_pred, PROBABILITIES, random_state=0)
    frame = pd.DataFrame(PROBABILITIES, columns=CLASSES)[["normal", "afib", "lbbb"]]
    found = classification_report_ci(y_true, y_pred, frame, random_state=0)
    pd.testing.assert_frame_equal(found, expected)


# Readers ----------------------------------------------------------------------------------------


def test_every_class_has_the_model_first_and_every_pair():
    scores, pairs = compare_readers(TRUTH, PREDICTED, READERS, class_names=CLASSES, n_bootstraps=2)
    who = ["model", "student", "resident"]
    assert scores.index.names == ["class", "reader"]
    assert scores.index.tolist() == [(name, reader) for name in CLASSES for reader in who]
    assert pairs.index.names == ["class", "first", "second"]
    assert pairs.index.tolist() == [
        (name, *two) for name in CLASSES for two in combinations(who, 2)
    ]
    rates = ["precision", "sensitivity", "specificity", "f1", "kappa"]
    ends = ("", "_low", "_high")
    assert scores.columns.tolist() == [f"{name}{end}" for name in rates for end in ends]
    names = [*(f"{name}_difference" for name in rates), "kappa_between"]
    discordant = ["only_first_right", "only_second_right", "mcnemar_exact", "mcnemar_asymptotic"]
    assert pairs.columns.tolist() == [f"{name}{end}" for name in names for end in ends] + discordant


def test_readers_figures_are_those_of_scikit_learn():
    scores, pairs = compare_readers(TRUTH, PREDICTED, READERS, n_bootstraps=2)
    said = {"model": PREDICTED, **READERS}
    for (k, reader), row in scores.iterrows():
        truth, own = TRUTH[:, k], said[reader][:, k]
        expected = slow_rates(truth, own) | {"kappa": slow_kappa(truth, own)}
        assert row[[*expected]].to_dict() == pytest.approx(expected)
    for (k, first, second), row in pairs.iterrows():
        assert row["kappa_between"] == pytest.approx(
            slow_kappa(said[first][:, k], said[second][:, k])
        )
        difference = scores.loc[k, first] - scores.loc[k, second]
        for name in ("precision", "sensitivity", "specificity", "f1", "kappa"):
            assert row[f"{name}_difference"] == pytest.approx(difference[name])


def test_intervals_of_readers_and_differences_are_those_of_a_loop_that_draws_patients():
    scores, pairs = compare_readers(
        TRUTH, PREDICTED, READERS, GROUPS, n_bootstraps=20, confidence=0.8, random_state=3
    )
    said = {"model": PREDICTED, **READERS}
    draws, differences = [], []
    for rows in slow_draws(GROUPS, 20, 3):
        found = {
            (k, reader): slow_rates(truth := TRUTH[rows, k], own := said[reader][rows, k])
            | {"kappa": slow_kappa(truth, own)}
            for k, reader in scores.index
        }
        draws.append([list(found[row].values()) for row in scores.index])
        differences.append(
            [
                [found[k, a][name] - found[k, b][name] for name in found[k, a]]
                + [slow_kappa(said[a][rows, k], said[b][rows, k])]
                for k, a, b in pairs.index
            ]
        )
    for table, values in ((scores, draws), (pairs, differences)):
        for end, expected in zip(("low", "high"), quantiles(values, 0.8), strict=True):
            np.testing.assert_allclose(table.filter(regex=f"_{end}$"), expected, atol=1e-12)


def test_a_reader_who_repeats_the_model_differs_in_nothing():
    pairs = compare_readers(TRUTH, PREDICTED, {"echo": PREDICTED}, random_state=0)[1]
    assert (pairs.filter(like="difference") == 0).all(axis=None)
    assert (pairs.filter(like="kappa_between") == 1).all(axis=None)
    assert (pairs.filter(like="mcnemar") == 1).all(axis=None)
    assert (pairs.filter(like="only") == 0).all(axis=None)


def test_kappa_of_two_who_always_say_the_same_thing_is_nan():
    none = np.zeros_like(TRUTH)
    pairs = compare_readers(TRUTH, none, {"echo": none}, random_state=0)[1]
    assert pairs.filter(like="kappa_between").isna().all(axis=None)


def test_mcnemar_is_the_binomial_test_and_the_textbook_formula():
    pairs = compare_readers(TRUTH, PREDICTED, READERS, n_bootstraps=2)[1]
    said = {"model": PREDICTED, **READERS}
    for (k, first, second), row in pairs.iterrows():
        right = [said[reader][:, k] == TRUTH[:, k] for reader in (first, second)]
        b, c = np.sum(right[0] & ~right[1]), np.sum(~right[0] & right[1])
        assert (row["only_first_right"], row["only_second_right"]) == (b, c)
        assert row["mcnemar_exact"] == pytest.approx(binomtest(b, b + c).pvalue)
        assert row["mcnemar_asymptotic"] == pytest.approx(chi2.sf((b - c) ** 2 / (b + c), 1))
    assert (pairs["only_first_right"] != pairs["only_second_right"]).any()


def test_a_paired_difference_is_surer_than_its_two_sides():
    almost = PREDICTED.copy()
    almost[:3] = 1 - almost[:3]
    scores, pairs = compare_readers(TRUTH, PREDICTED, {"almost": almost}, random_state=0)
    sides = width(scores, "f1").groupby("class").min()
    assert (width(pairs, "f1_difference").droplevel(["first", "second"]) < 0.7 * sides).all()


def test_columns_of_dataframes_are_put_into_the_order_of_the_reference():
    truth = pd.DataFrame(TRUTH, columns=CLASSES)
    mixed = {
        name: pd.DataFrame(values, columns=CLASSES)[["normal", "lbbb", "afib"]]
        for name, values in READERS.items()
    }
    expected = compare_readers(
        TRUTH, PREDICTED, READERS, class_names=CLASSES, n_bootstraps=10, random_state=0
    )
    found = compare_readers(truth, PREDICTED, mixed, n_bootstraps=10, random_state=0)
    for one, other in zip(found, expected, strict=True):
        pd.testing.assert_frame_equal(one, other)


# Errors -----------------------------------------------------------------------------------------

FRAME = pd.DataFrame(TRUTH, columns=CLASSES)
GAPPY = TRUTH.astype(float)
GAPPY[4, 1] = np.nan


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((LABELS, GUESSES[:-1]), r"y_true has shape \(60,\) and y_pred \(59,\)"),
        ((LABELS, PROBABILITIES), "Scores go into y_score"),
        ((LABELS, SCORES[:, 0]), "Unknown label type"),
        ((LABELS, np.array(CLASSES)[GUESSES]), "mixes text and numbers"),
        ((LABELS - 1, GUESSES - 1), "unlabelled records .-1.; leave them out"),
        ((TRUTH, PREDICTED - 1), "y_pred must be 1 .* has -1"),
        ((TRUTH, SCORES), "y_pred must be 1 .* threshold"),
        ((GAPPY, TRUTH), "y_true must be 1 .* has nan"),
        ((TRUTH, np.array(CLASSES)[PREDICTED]), "y_pred must be numbers"),
        ((TRUTH, PREDICTED[:-1]), r"y_pred has shape \(59, 3\), but expected \(60, 3\)"),
        ((TRUTH, PREDICTED[:, 0]), r"y_pred has shape \(60,\), but expected \(60, 3\)"),
        ((LABELS, GUESSES, PROBABILITIES[:, :2]), r"y_score has shape \(60, 2\).* class_names"),
        ((LABELS, GUESSES, SCORES[:, 0]), r"y_score has shape \(60,\), but expected \(60, 3\)"),
        ((TRUTH, PREDICTED, GAPPY), "y_score contains NaN or infinity: first in record 4"),
        ((FRAME, FRAME.rename(columns={"afib": "AF"})), "y_pred has the columns .'AF'"),
        ((FRAME, FRAME[::-1]), r"rows of y_pred are labelled otherwise .* \.loc"),
        ((TRUTH, FRAME), r"y_pred has the columns .*, but the classes are \[0, 1, 2\]"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(InvalidECGError, match=message):
        classification_report_ci(*arguments)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"groups": GROUPS[:-1]}, r"shape \(59,\), but there are 60 records"),
        ({"groups": [None, *GROUPS[1:]]}, "1 are missing"),
        ({"groups": np.ones(N_RECORDS)}, r"60 record.s. of 1 patient.s.\. At least 2"),
        ({"class_names": ["a", "b", "macro"]}, "named 'macro'"),
        ({"class_names": ["a", "b", "b"]}, "Each class needs a name of its own"),
        ({"class_names": ["a", "b"]}, r"among class_names .*have \[0, 1, 2\]"),
        ({"n_bootstraps": 0}, "n_bootstraps"),
        ({"confidence": 95}, "confidence"),
        ({"random_state": "seed"}, "random_state"),
    ],
)
def test_parameters_without_sense_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        classification_report_ci(LABELS, GUESSES, **parameters)


@pytest.mark.parametrize(
    ("y_model", "readers", "message"),
    [
        (PREDICTED, {"model": STUDENT}, r"none of them named 'model', but has \['model'\]"),
        (PREDICTED, {}, r"one reader or more.*classification_report_ci"),
        (SCORES, READERS, "y_model must be 1 .* threshold"),
        (PREDICTED[:, :2], READERS, r"y_model has shape \(60, 2\), but expected \(60, 3\)"),
        (PREDICTED, {"student": STUDENT[1:]}, r"readers\['student'\] has shape \(59, 3\)"),
        (PREDICTED, {"student": FRAME * 2}, r"readers\['student'\] must be 1 .* has 2"),
        (PREDICTED, {"student": FRAME[["afib", "lbbb"]]}, r"readers\['student'\] has the columns"),
        (PREDICTED, {"student": FRAME.shift(1)[1:]}, r"rows of readers\['student'\]"),
    ],
)
def test_readers_that_do_not_fit_are_refused(y_model, readers, message):
    with pytest.raises(InvalidECGError, match=message):
        compare_readers(FRAME, y_model, readers)


# Real readers -----------------------------------------------------------------------------------


@pytest.fixture
def code_test():
    home = os.environ.get("SKLEARN_BELL_DATA")
    if not home or not Path(home, "code-test").is_dir():
        pytest.skip(
            "needs CODE-test: SKLEARN_BELL_DATA is not set to a folder that holds code-test"
        )
    return Path(home, "code-test")


def test_all_scores_that_ribeiro_et_al_print_come_out(code_test):
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
    names = {
        "Precision": "precision",
        "Recall": "sensitivity",
        "Specificity": "specificity",
        "F1 score": "f1",
    }
    found = {
        (name, who, score): f"{scores.loc[(name, reader), column]:.3f}"
        for name in truth.columns
        for who, reader in [("DNN", "model"), *((reader, reader) for reader in readers)]
        for score, column in names.items()
    }
    expected = {(name, who, score): published.loc[name, (score, who)] for name, who, score in found}
    assert len(found) == published.size == 96
    assert found == expected
    # no reader has a surely higher F1 than the model
    with_model = pairs.xs("model", level="first")
    assert (with_model["f1_difference_high"] >= 0).all()


def test_one_class_is_enough_where_the_others_are_named():
    report = classification_report_ci(["a"] * 5, ["a"] * 4 + ["b"], class_names=["a", "b"])
    assert report.loc["a", "sensitivity"] == pytest.approx(0.8)
    report = classification_report_ci([0] * 5, [0] * 5, class_names=["a", "b"])
    assert report.loc["a", "f1"] == 1
    assert np.isnan(report.loc["a", "specificity"])


@pytest.mark.parametrize("what", ["y_pred", "y_score"])
def test_rows_of_series_are_compared_too(what):
    y_true = pd.Series([0, 1, 1, 0], index=[3, 2, 1, 0])
    given = {"y_pred": y_true, "y_score": pd.Series([0.1, 0.9, 0.8, 0.2], index=y_true.index)}
    classification_report_ci(y_true, **given, n_bootstraps=10)
    given[what] = given[what].reset_index(drop=True)
    with pytest.raises(InvalidECGError, match=f"The rows of {what} are labelled otherwise"):
        classification_report_ci(y_true, **given, n_bootstraps=10)


def test_a_class_alone_is_a_column():
    with pytest.raises(InvalidECGError, match=r"y_true must be an indicator .* has shape \(3,\)"):
        compare_readers([0, 1, 1], [0, 1, 1], {"student": [1, 1, 1]})
