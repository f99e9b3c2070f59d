"""Tests of the bootstrap over patients, through the public reports."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from sklearn_bell.evaluation import _bootstrap, classification_report_ci, compare_readers
from tests.evaluation._data import (
    GROUPS,
    N_RECORDS,
    PREDICTED,
    RATERS,
    READERS,
    SCORES,
    TRUTH,
    slow_figures,
    slow_kappa,
    slow_rates,
    width,
)


def slow_draws(groups, n_draws, seed):
    """Yield the rows of patients drawn with replacement, one patient after the other."""
    random = np.random.RandomState(seed)
    patients = np.unique(groups)
    for _ in range(n_draws):
        drawn = patients[random.randint(len(patients), size=len(patients))]
        yield np.concatenate([np.flatnonzero(groups == patient) for patient in drawn])


def quantiles(values, confidence):
    return np.nanquantile(values, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)


@pytest.mark.parametrize("groups", [GROUPS, None], ids=["patients", "records"])
def test_report_intervals_equal_a_loop_over_patients(groups):
    patients = np.arange(N_RECORDS) if groups is None else groups
    truth = TRUTH.copy()
    truth[:, 2] = patients == patients[0]  # one patient: a third of the draws have none
    report = classification_report_ci(
        truth, PREDICTED, SCORES, groups=groups, n_bootstraps=50, confidence=0.8, random_state=3
    )
    draws = []
    for rows in slow_draws(patients, 50, 3):
        columns = zip(truth[rows].T, PREDICTED[rows].T, SCORES[rows].T, strict=True)
        figures = pd.DataFrame([slow_figures(*column) for column in columns])
        figures.loc["macro"] = figures.mean()
        draws.append(figures)
    assert np.isnan(draws).any()
    low, high = quantiles(np.array(draws), 0.8)
    np.testing.assert_allclose(report[[f"{name}_low" for name in draws[0]]], low)
    np.testing.assert_allclose(report[[f"{name}_high" for name in draws[0]]], high)


def test_reader_intervals_equal_a_loop_over_patients():
    scores, pairs = compare_readers(
        TRUTH, PREDICTED, READERS, GROUPS, n_bootstraps=20, confidence=0.8, random_state=3
    )
    draws, differences = [], []
    for rows in slow_draws(GROUPS, 20, 3):
        figures = {
            (k, reader): slow_rates(truth := TRUTH[rows, k], own := RATERS[reader][rows, k])
            | {"kappa": slow_kappa(truth, own)}
            for k, reader in scores.index
        }
        draws.append([list(figures[row].values()) for row in scores.index])
        differences.append(
            [
                [figures[k, a][name] - figures[k, b][name] for name in figures[k, a]]
                + [slow_kappa(RATERS[a][rows, k], RATERS[b][rows, k])]
                for k, a, b in pairs.index
            ]
        )
    for table, values in ((scores, draws), (pairs, differences)):
        low, high = quantiles(values, 0.8)
        np.testing.assert_allclose(table.filter(regex="_low$"), low, atol=1e-12)
        np.testing.assert_allclose(table.filter(regex="_high$"), high, atol=1e-12)


def test_draws_are_independent_of_the_chunk_size(monkeypatch):
    expected = classification_report_ci(TRUTH, PREDICTED, SCORES, random_state=0)
    monkeypatch.setattr(_bootstrap, "_CHUNK", 7 * N_RECORDS)
    report = classification_report_ci(TRUTH, PREDICTED, SCORES, random_state=0)
    pd.testing.assert_frame_equal(report, expected)


def test_duplicated_records_of_patients_change_nothing():
    once = classification_report_ci(TRUTH, PREDICTED, SCORES, groups=GROUPS, random_state=0)
    twice = (np.tile(values, (2, 1)) for values in (TRUTH, PREDICTED, SCORES))
    report = classification_report_ci(*twice, groups=np.tile(GROUPS, 2), random_state=0)
    assert (report.pop("support") == 2 * once.pop("support")).all()
    pd.testing.assert_frame_equal(report, once)


def test_copies_taken_for_independent_narrow_the_intervals():
    copies = [np.tile(values, (4, 1)) for values in (TRUTH, PREDICTED, SCORES)]
    patients = np.tile(np.arange(N_RECORDS), 4)
    by_patient = classification_report_ci(*copies, groups=patients, random_state=0)
    by_record = classification_report_ci(*copies, random_state=0)
    names = ["sensitivity", "f1", "auroc", "auprc"]
    ratios = np.array([width(by_patient, name) / width(by_record, name) for name in names])
    assert ((ratios > 1.7) & (ratios < 2.3)).all()  # the square root of 4


def test_intervals_cover_the_truth_at_their_confidence():
    random = np.random.default_rng(0)
    patients = np.repeat(np.arange(80), 4)
    covered = np.zeros(2)
    for seed in range(100):
        truth = np.repeat(random.random(80) < 0.5, 4)
        predicted = np.where(np.repeat(random.random(80) < 0.8, 4), truth, ~truth)
        for i, groups in enumerate((patients, None)):
            row = classification_report_ci(
                truth, predicted, groups=groups, n_bootstraps=200, random_state=seed
            ).iloc[1]
            covered[i] += row["sensitivity_low"] <= 0.8 <= row["sensitivity_high"]
    assert 88 <= covered[0] <= 99
    assert covered[1] < 75


def test_intervals_widen_with_confidence():
    reports = [
        classification_report_ci(TRUTH, PREDICTED, confidence=confidence, random_state=0)
        for confidence in (0.5, 0.9, 0.99)
    ]
    assert all((width(b, "f1") > width(a, "f1")).all() for a, b in pairwise(reports))


def test_seed_makes_draws_repeatable():
    seeds = (0, 0, 1, None, None)
    reports = [classification_report_ci(TRUTH, PREDICTED, random_state=seed) for seed in seeds]
    same = [reports[i].equals(reports[j]) for i, j in ((0, 1), (0, 2), (3, 4))]
    assert same == [True, False, False]


@pytest.mark.parametrize(
    ("groups", "n_bootstraps", "atol"),
    [(GROUPS, 1000, 0), (None, 4000, 0.03)],  # without patients, intervals differ by chance
    ids=["patients", "records"],
)
def test_record_order_is_irrelevant(groups, n_bootstraps, atol):
    order = np.random.default_rng(1).permutation(N_RECORDS)
    options = {"n_bootstraps": n_bootstraps, "random_state": 0}
    expected = classification_report_ci(TRUTH, PREDICTED, SCORES, groups=groups, **options)
    shuffled = [values[order] for values in (TRUTH, PREDICTED, SCORES)]
    groups = None if groups is None else groups[order]
    report = classification_report_ci(*shuffled, groups=groups, **options)
    pd.testing.assert_frame_equal(report, expected, rtol=1e-5 if atol == 0 else 0, atol=atol)


def test_patient_names_may_be_text():
    expected = classification_report_ci(TRUTH, PREDICTED, groups=GROUPS, random_state=0)
    names = [f"patient {number}" for number in GROUPS]
    report = classification_report_ci(TRUTH, PREDICTED, groups=names, random_state=0)
    pd.testing.assert_frame_equal(report, expected)


def test_paired_difference_has_a_narrower_interval_than_its_terms():
    near_copy = PREDICTED.copy()
    near_copy[:3] = 1 - near_copy[:3]
    scores, pairs = compare_readers(TRUTH, PREDICTED, {"near copy": near_copy}, random_state=0)
    terms = width(scores, "f1").groupby("class").min()
    assert (width(pairs, "f1_difference").droplevel(["first", "second"]) < 0.7 * terms).all()
