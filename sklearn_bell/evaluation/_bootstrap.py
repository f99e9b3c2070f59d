"""Metrics of many bootstrap draws at once: a draw is how often each record is in it."""

from __future__ import annotations

import numpy as np
from scipy import stats
from sklearn.utils import check_random_state

from sklearn_bell._utils.validation import check_groups
from sklearn_bell.exceptions import InvalidECGError

_CHUNK = 2**20  # weights (n_draws, n_records) that are held together: 8 MB


def bootstrap(metrics, groups, n_records, n_draws, random_state):
    """Return metrics of all records, and below of draws of groups with replacement.

    Parameters
    ----------
    metrics : callable
        Makes of weights (n_some, n_records) a dict of arrays (n_some, ...).
    groups : array-like of shape (n_records,) or None
        None makes every record a group.
    n_records, n_draws : int
    random_state : int, RandomState instance or None

    Returns
    -------
    drawn : dict of ndarray of shape (1 + n_draws, ...)
    """
    codes = check_groups(groups, n_records)
    n_groups = codes.max(initial=-1) + 1
    if n_groups < 2:
        raise InvalidECGError(
            f"Patients are drawn to see how figures vary, but there are {n_records} record(s) of "
            f"{n_groups} patient(s). At least 2 patients are needed."
        )
    rng = check_random_state(random_state)
    n_rows = max(1, _CHUNK // n_records)
    chunks = [metrics(np.ones((1, n_records)))]
    for start in range(0, n_draws, n_rows):
        n = min(n_rows, n_draws - start)
        drawn = rng.randint(n_groups, size=(n, n_groups)) + n_groups * np.arange(n)[:, None]
        times = np.bincount(drawn.ravel(), minlength=n * n_groups).reshape(n, n_groups)
        chunks.append(metrics(times[:, codes].astype(float)))
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def rates(both, positives, marked, total):
    """Return what counts say of truth and prediction; what cannot be known is NaN.

    Parameters
    ----------
    both, positives, marked : ndarray of shape (n_draws, n_classes)
        Records that have the class and were said to, that have it, that were said to.
    total : ndarray of shape (n_draws, 1)
        All records.

    Returns
    -------
    rates : dict of ndarray of shape (n_draws, n_classes)
    """
    negatives = total - positives
    return {
        "precision": _divide(both, marked),
        "sensitivity": _divide(both, positives),
        "specificity": _divide(negatives - (marked - both), negatives),
        "f1": _divide(2 * both, positives + marked),
    }


def kappa(both, first, second, total):
    """Return Cohen's kappa between two that said so of so many records, as in `rates`.

    It is (observed - expected) / (1 - expected), the shares in which they agree, times the total
    squared: so 0 / 0 is exactly that.
    """
    chance = first * second
    return _divide(2 * (total * both - chance), total * (first + second) - 2 * chance)


def ranking(truth, score, weights):
    """Return AUROC and average precision.

    Parameters
    ----------
    truth, score : ndarray of shape (n_records,)
    weights : ndarray of shape (n_draws, n_records)

    Returns
    -------
    auroc, auprc : ndarray of shape (n_draws,)
    """
    order = np.argsort(-score)
    starts = np.flatnonzero(np.diff(-score[order], prepend=-np.inf))  # of equal scores
    weights = weights[:, order]
    everything = np.add.reduceat(weights, starts, axis=1)  # (n_draws, n_thresholds)
    positive = np.add.reduceat(weights * truth[order], starts, axis=1)
    negative = everything - positive
    found = np.cumsum(positive, axis=1)
    precision = found / np.maximum(np.cumsum(everything, axis=1), 1)
    n_positive, n_negative = found[:, -1], negative.sum(axis=1)
    above = (negative * (found - positive / 2)).sum(axis=1)
    return (
        _divide(above, n_positive * n_negative),
        _divide((positive * precision).sum(axis=1), n_positive),
    )


def mcnemar(first_right, second_right):
    """Return discordant records and p-values of McNemar's test.

    Parameters
    ----------
    first_right, second_right : ndarray of bool of shape (n_records, n_classes)

    Returns
    -------
    test : dict of ndarray of shape (n_classes,)
    """
    only_first = (first_right & ~second_right).sum(axis=0)
    only_second = (second_right & ~first_right).sum(axis=0)
    n = only_first + only_second
    below = stats.binom.cdf(np.minimum(only_first, only_second), n, 0.5)
    return {
        "only_first_right": only_first,
        "only_second_right": only_second,
        "mcnemar_exact": np.minimum(2 * below, 1),
        "mcnemar_asymptotic": stats.chi2.sf((only_first - only_second) ** 2 / np.maximum(n, 1), 1),
    }


def _divide(a, b):
    return np.divide(a, b, out=np.full(b.shape, np.nan), where=b > 0)
