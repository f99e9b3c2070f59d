"""Labels, predictions and scores of the evaluation tests, and slow figures of scikit-learn."""

import numpy as np
from sklearn import metrics

N_RECORDS, CLASSES = 60, ["afib", "lbbb", "normal"]
rng = np.random.default_rng(0)
GROUPS = rng.permutation(np.repeat(np.arange(100, 120), 3))  # 20 patients, 3 records each
TRUTH = rng.integers(0, 2, (N_RECORDS, 3))
SCORES = (TRUTH + 2 * rng.random((N_RECORDS, 3))).round(1)  # with ties
PREDICTED, STUDENT = (SCORES > 1.4).astype(int), (rng.random((N_RECORDS, 3)) < SCORES).astype(int)
RESIDENT = np.where(rng.random((N_RECORDS, 3)) < 0.2, 1 - TRUTH, TRUTH)
READERS = {"student": STUDENT, "resident": RESIDENT}
RATERS = {"model": PREDICTED, **READERS}
LABELS, GUESSES = SCORES.argmax(axis=1), (SCORES + rng.random((N_RECORDS, 3))).argmax(axis=1)
PROBABILITIES = SCORES / SCORES.sum(axis=1, keepdims=True)


def slow_rates(truth, predicted):
    """Compute the rates of one class by scikit-learn."""
    kwargs = {"zero_division": np.nan}
    return {
        "precision": metrics.precision_score(truth, predicted, **kwargs),
        "sensitivity": metrics.recall_score(truth, predicted, **kwargs),
        "specificity": metrics.recall_score(truth, predicted, pos_label=0, **kwargs),
        "f1": metrics.f1_score(truth, predicted, **kwargs),
    }


def slow_figures(truth, predicted, score):
    """Compute all figures of one class by scikit-learn."""
    both = 0 < truth.mean() < 1
    return slow_rates(truth, predicted) | {
        "auroc": metrics.roc_auc_score(truth, score) if both else np.nan,
        "auprc": metrics.average_precision_score(truth, score) if truth.any() else np.nan,
    }


def slow_kappa(first, second):
    constant = len(set(first) | set(second)) < 2
    return np.nan if constant else metrics.cohen_kappa_score(first, second)


def width(table, metric):
    return table[f"{metric}_high"] - table[f"{metric}_low"]
