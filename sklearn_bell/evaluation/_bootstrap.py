"""Bootstrap over patients; a draw is a row of weights, the number of times it has each record."""

import numpy as np
from scipy import stats
from sklearn.utils import check_random_state, gen_batches

from sklearn_bell._utils.validation import check_groups
from sklearn_bell.exceptions import InvalidECGError

_CHUNK = 2**20  # weights (n_draws, n_records) held in memory at once: 8 MB


def bootstrap(metrics, groups, n_records, n_draws, random_state):
    """Evaluate metrics, a dict of arrays (n_draws, ...), on all records and then on each draw."""
    codes = check_groups(groups, n_records)
    n_groups = codes.max(initial=-1) + 1
    if n_groups < 2:
        raise InvalidECGError(
            f"Expected records of at least 2 patients, got {n_records} record(s) of {n_groups} "
            "patient(s). Add records of other patients."
        )
    rng = check_random_state(random_state)
    chunks = [metrics(np.ones((1, n_records)))]
    for draws in gen_batches(n_draws, max(1, _CHUNK // n_records)):
        n = draws.stop - draws.start
        drawn = rng.randint(n_groups, size=(n, n_groups)) + n_groups * np.arange(n)[:, None]
        times = np.bincount(drawn.ravel(), minlength=n * n_groups).reshape(n, n_groups)
        chunks.append(metrics(times[:, codes].astype(float)))
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def rates(n_both, n_true, n_predicted, n_records):
    """Compute rates from counts, each (n_draws, n_classes); an undefined rate is NaN."""
    n_negative = n_records - n_true
    return {
        "precision": _divide(n_both, n_predicted),
        "sensitivity": _divide(n_both, n_true),
        "specificity": _divide(n_negative - (n_predicted - n_both), n_negative),
        "f1": _divide(2 * n_both, n_true + n_predicted),
    }


def kappa(n_both, n_first, n_second, n_records):
    """Compute Cohen's kappa of two raters from counts as in :func:`rates`."""
    # (observed - expected) / (1 - expected) times n_records squared, so that 0 / 0 is exact
    chance = n_first * n_second
    return _divide(2 * (n_records * n_both - chance), n_records * (n_first + n_second) - 2 * chance)


def ranking(truth, score, weights):
    """Compute AUROC and average precision, each (n_draws,), of one class."""
    order = np.argsort(-score)
    starts = np.flatnonzero(np.diff(-score[order], prepend=-np.inf))  # of runs of equal scores
    weights = weights[:, order]
    marked = np.add.reduceat(weights, starts, axis=1)  # (n_draws, n_thresholds)
    positive = np.add.reduceat(weights * truth[order], starts, axis=1)
    negative = marked - positive
    hits = np.cumsum(positive, axis=1)
    precision = hits / np.maximum(np.cumsum(marked, axis=1), 1)
    n_positive, n_negative = hits[:, -1], negative.sum(axis=1)
    n_ordered = (negative * (hits - positive / 2)).sum(axis=1)  # pairs; a tie counts half
    auroc = _divide(n_ordered, n_positive * n_negative)
    return auroc, _divide((positive * precision).sum(axis=1), n_positive)


def mcnemar(first_right, second_right):
    """Count discordant records (n_records, n_classes) and compute p-values of McNemar's test."""
    only_first = (first_right & ~second_right).sum(axis=0)
    only_second = (second_right & ~first_right).sum(axis=0)
    n = only_first + only_second
    tail = stats.binom.cdf(np.minimum(only_first, only_second), n, 0.5)
    return {
        "only_first_right": only_first,
        "only_second_right": only_second,
        "mcnemar_exact": np.minimum(2 * tail, 1),
        "mcnemar_asymptotic": stats.chi2.sf((only_first - only_second) ** 2 / np.maximum(n, 1), 1),
    }


def _divide(a, b):
    return np.divide(a, b, out=np.full(b.shape, np.nan), where=b > 0)
