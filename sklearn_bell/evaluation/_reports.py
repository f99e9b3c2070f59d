"""Classification reports with intervals, and comparisons with human readers."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, combinations_with_replacement
from numbers import Integral, Real

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_bell.evaluation._bootstrap import bootstrap, kappa, mcnemar, ranking, rates
from sklearn_bell.evaluation._inputs import read_predictions, read_raters, read_scores
from sklearn_bell.exceptions import InvalidECGError

_check_params = validate_params(
    {
        **{name: ["array-like"] for name in ("y_true", "y_pred", "y_model")},
        **{name: ["array-like", None] for name in ("y_score", "groups", "class_names")},
        "readers": [dict],
        "n_bootstraps": [Interval(Integral, 1, None, closed="left")],
        "confidence": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)


@_check_params
def classification_report_ci(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    y_score: ArrayLike | None = None,
    *,
    groups: ArrayLike | None = None,
    class_names: ArrayLike | None = None,
    n_bootstraps: int = 1000,
    confidence: float = 0.95,
    random_state: int | np.random.RandomState | None = None,
) -> pd.DataFrame:
    """Report classification metrics per class, with an interval beside every figure.

    Intervals are quantiles of a bootstrap over patients: a draw takes as many patients as there
    are, with replacement, and all records of each. They are somewhat too narrow with few patients.
    A sensitivity of 1 is 1 in every draw, so its interval has no width.

    Parameters
    ----------
    y_true : array-like of shape (n_records,) or (n_records, n_classes)
        Classes of any kind, or an indicator of zeros and ones (multi-label).
    y_pred : array-like of the same shape
        Predictions. A DataFrame needs the index of `y_true`; its columns are matched by name.
    y_score : array-like of shape (n_records, n_classes) or (n_records,), default=None
        Probabilities, or other scores that rise with the probability of a class. For two classes,
        one score per record suffices, that of the second class. None omits AUROC and AUPRC.
    groups : array-like of shape (n_records,), default=None
        Patient of each record. None takes every record for a patient.
    class_names : array-like of shape (n_classes,), default=None
        Names in the order of the columns. Classes of shape (n_records,) must be these, or positions
        in them. None takes the columns of a DataFrame `y_true`, or sorted classes, or numbers.
    n_bootstraps : int, default=1000
        Number of draws.
    confidence : float, default=0.95
        Share of the draws that lie in the interval.
    random_state : int, RandomState instance or None, default=None
        Seed of the draws.

    Returns
    -------
    report : DataFrame
        A row for each class, and the row "macro". Each of precision, sensitivity, specificity, f1,
        auroc and auprc (:func:`~sklearn.metrics.average_precision_score`) has three columns, such
        as ``f1``, ``f1_low`` and ``f1_high``. The column ``support`` counts the records of the
        class; the row "macro" has the sum over classes.

    Raises
    ------
    InvalidECGError
        If shapes, classes, row labels or columns do not match, or with fewer than two patients.

    Notes
    -----
    A division by zero gives NaN, not zero: sensitivity and AUPRC of a class without records,
    precision of a class that is never predicted, F1 if both apply, specificity without other
    records, AUROC if either kind is missing. Intervals and macro means skip NaN.

    Examples
    --------
    >>> from sklearn_bell.evaluation import classification_report_ci
    >>> y_true = ["afib", "afib", "normal", "normal", "normal", "normal"]
    >>> y_pred = ["afib", "normal", "normal", "normal", "normal", "afib"]
    >>> patient = [1, 1, 2, 3, 4, 5]
    >>> report = classification_report_ci(y_true, y_pred, groups=patient, random_state=0)
    >>> report[["sensitivity", "specificity", "specificity_low", "specificity_high", "support"]]
            sensitivity  specificity  specificity_low  specificity_high  support
    class
    afib          0.500        0.750            0.250               1.0        2
    normal        0.750        0.500            0.500               0.5        4
    macro         0.625        0.625            0.375               1.0        6
    """
    names, truth, predicted = read_predictions(y_true, y_pred, class_names)
    if "macro" in names:
        raise InvalidECGError("The last row is named 'macro'. Give the class 'macro' another name.")
    scores = None if y_score is None else read_scores(y_score, names, y_true)

    def metrics(weights):
        n_records = weights.sum(axis=1, keepdims=True)
        counts = weights @ (truth * predicted), weights @ truth, weights @ predicted
        table = rates(*counts, n_records)
        if scores is not None:
            pairs = [ranking(*columns, weights) for columns in zip(truth.T, scores.T, strict=True)]
            table["auroc"], table["auprc"] = np.stack(pairs, axis=2)  # (n_draws, n_classes)
        return table

    draws = bootstrap(metrics, groups, len(truth), n_bootstraps, random_state)
    for metric, values in draws.items():
        macro = pd.DataFrame(values).mean(axis=1)  # skips NaN
        draws[metric] = np.column_stack([values, macro])
    support = truth.sum(axis=0).astype(int)
    report = _summarise(draws, [*names, "macro"], confidence)
    return report.assign(support=[*support, support.sum()])


@_check_params
def compare_readers(
    y_true: ArrayLike,
    y_model: ArrayLike,
    readers: Mapping[str, ArrayLike],
    groups: ArrayLike | None = None,
    *,
    class_names: ArrayLike | None = None,
    n_bootstraps: int = 1000,
    confidence: float = 0.95,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare a model with human readers of the same records, and the readers with each other.

    All readers share the draws, so differences have paired intervals. NaN and DataFrames are as in
    :func:`classification_report_ci`. Kappa is NaN if both give all records the same answer.

    Parameters
    ----------
    y_true, y_model : array-like of shape (n_records, n_classes)
        Reference, and predictions of the model: one if a record has the class, otherwise zero.
    readers : dict of str to array-like of shape (n_records, n_classes)
        Answers of each reader, by name. No reader is named "model".
    groups, class_names, n_bootstraps, confidence, random_state
        As in :func:`classification_report_ci`; None numbers the classes of an array.

    Returns
    -------
    scores : DataFrame
        A row for each class and reader, "model" first. The columns are precision, sensitivity,
        specificity, f1 and kappa (Cohen's [3]_, with the reference), each followed by the ends of
        its interval: ``f1``, ``f1_low``, ``f1_high``.
    pairs : DataFrame
        A row for each class and pair of readers, first and second. The columns are the difference,
        first minus second, of each column of `scores` (``f1_difference``) and ``kappa_between`` the
        two, with the ends of their intervals; the records that only one gets right
        (``only_first_right``, ``only_second_right``); and the p-values of McNemar's test [2]_
        (``mcnemar_exact``, ``mcnemar_asymptotic``).

    Raises
    ------
    InvalidECGError
        As in :func:`classification_report_ci`, or if there is no reader, or one named "model".

    Notes
    -----
    McNemar's asymptotic test has no continuity correction, as in [1]_. Both p-values are 1 without
    discordant records, and treat records as independent: if patients have several records, rely on
    the intervals of the differences. P-values are not corrected for the number of comparisons.

    References
    ----------
    .. [1] Ribeiro AH et al., Nat Commun 11, 1760, 2020. doi:10.1038/s41467-020-15432-4
    .. [2] McNemar Q, Psychometrika 12(2), 1947. doi:10.1007/BF02295996
    .. [3] Cohen J, Educ Psychol Meas 20(1), 1960. doi:10.1177/001316446002000104

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_bell.evaluation import compare_readers
    >>> truth = pd.DataFrame({"AF": [1, 1, 1, 0, 0, 0, 0, 0]})
    >>> model = pd.DataFrame({"AF": [1, 1, 1, 1, 0, 0, 0, 0]})
    >>> student = pd.DataFrame({"AF": [1, 0, 0, 1, 0, 0, 0, 0]})
    >>> scores, pairs = compare_readers(truth, model, {"student": student}, random_state=0)
    >>> pairs[["sensitivity_difference", "only_first_right", "mcnemar_exact"]].round(2)
                          sensitivity_difference  only_first_right  mcnemar_exact
    class first second
    AF    model student                     0.67                 2            0.5
    """
    if "model" in readers or not readers:
        raise InvalidECGError(
            f"Expected one reader or more, none named 'model', got {list(readers)}. Rename that "
            "reader, or use classification_report_ci for the model alone."
        )
    raters = {"y_true": y_true, "y_model": y_model}
    raters |= {f"readers[{name!r}]": answers for name, answers in readers.items()}
    names, answers = read_raters(raters, class_names)  # answers[0] is the reference
    reader_names = dict(enumerate(["model", *readers], start=1))
    pairs_of_raters = combinations_with_replacement(range(len(answers)), 2)
    agreed = {(i, j): answers[i] * answers[j] for i, j in pairs_of_raters}

    def count(weights):
        counts = {pair: weights @ both for pair, both in agreed.items()}
        return counts | {"total": weights.sum(axis=1, keepdims=True)}

    counts = bootstrap(count, groups, len(answers[0]), n_bootstraps, random_state)

    def pair_counts(i, j):
        return counts[i, j], counts[i, i], counts[j, j], counts["total"]

    scores, pairs, draws = {}, {}, {}
    for i, name in reader_names.items():
        draws[i] = rates(*pair_counts(0, i)) | {"kappa": kappa(*pair_counts(0, i))}
        scores[name] = _summarise(draws[i], names, confidence)
    for i, j in combinations(reader_names, 2):
        table = {f"{metric}_difference": draws[i][metric] - draws[j][metric] for metric in draws[i]}
        table["kappa_between"] = kappa(*pair_counts(i, j))
        test = mcnemar(answers[i] == answers[0], answers[j] == answers[0])
        pair = reader_names[i], reader_names[j]
        pairs[pair] = _summarise(table, names, confidence).assign(**test)
    return _stack_by_class(scores, ["reader"]), _stack_by_class(pairs, ["first", "second"])


def _summarise(draws, names, confidence):
    """Tabulate figures, the first row of each array, with quantiles of the other rows."""
    table: dict = {}
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    for metric, values in draws.items():
        low, high = pd.DataFrame(values[1:]).quantile(tails).to_numpy()  # skips NaN
        table |= {metric: values[0], f"{metric}_low": low, f"{metric}_high": high}
    return pd.DataFrame(table, index=pd.Index(names, name="class"))


def _stack_by_class(tables, levels):
    """Stack tables of classes: all rows of the first class, then all of the second."""
    stacked = pd.concat(tables, names=levels)
    order = np.arange(len(stacked)).reshape(len(tables), -1).T.ravel()
    return stacked.reorder_levels(["class", *levels]).iloc[order]
