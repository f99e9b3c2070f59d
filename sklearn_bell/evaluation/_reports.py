"""How good predictions are, how sure that is, and how they compare with those of doctors."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, combinations_with_replacement
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_bell.evaluation._bootstrap import bootstrap, kappa, mcnemar, ranking, rates
from sklearn_bell.evaluation._inputs import (
    read_indicator,
    read_names,
    read_predictions,
    read_scores,
)
from sklearn_bell.exceptions import InvalidECGError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from sklearn_bell._utils.types import Names, RandomState


_CONSTRAINTS: dict = {
    "y_true": ["array-like"],
    "groups": ["array-like", None],
    "class_names": ["array-like", None],
    "n_bootstraps": [Interval(Integral, 1, None, closed="left")],
    "confidence": [Interval(Real, 0, 1, closed="neither")],
    "random_state": ["random_state"],
}


@validate_params(
    _CONSTRAINTS | {"y_pred": ["array-like"], "y_score": ["array-like", None]},
    prefer_skip_nested_validation=True,
)
def classification_report_ci(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    y_score: ArrayLike | None = None,
    *,
    groups: ArrayLike | None = None,
    class_names: Names | None = None,
    n_bootstraps: int = 1000,
    confidence: float = 0.95,
    random_state: RandomState = None,
) -> pd.DataFrame:
    """Report how well each class is recognised, with an interval beside every figure.

    Patients are drawn with replacement, each with all of its records, as many as there are. The
    interval is between quantiles of the draws.

    Parameters
    ----------
    y_true : array-like of shape (n_records,) or (n_records, n_classes)
        Classes of any kind; or an indicator of zeros and ones, where a record may have several.
    y_pred : array-like of the same shape
        What was predicted.
    y_score : array-like of shape (n_records, n_classes) or (n_records,), default=None
        Probabilities, or other scores that are greater where a class is likelier. One score for
        each record is enough for two classes, and belongs to the second. None leaves AUROC and
        AUPRC out.
    groups : array-like of shape (n_records,), default=None
        Patient of each record. None takes every record for a patient.
    class_names : array-like of shape (n_classes,), default=None
        Names of the classes, in the order of the columns. Classes of shape (n_records,) must be
        these names, or positions in them. None takes the columns of `y_true` where it is a
        DataFrame, otherwise the sorted classes, or numbers.
    n_bootstraps : int, default=1000
        Number of draws.
    confidence : float, default=0.95
        Share of the draws that lie in the interval.
    random_state : int, RandomState instance or None, default=None
        Of the draws.

    Returns
    -------
    report : DataFrame
        A row for each class, and the row "macro". For each of precision, sensitivity, specificity,
        f1, auroc and auprc there are the columns ``f1``, ``f1_low`` and ``f1_high``. The column
        ``support`` counts the records of the class; in the row "macro", those of all classes.

    Raises
    ------
    InvalidECGError
        A ``ValueError`` that says what was given and what was expected.

    See Also
    --------
    compare_readers : The same for several readers, and their differences.

    Notes
    -----
    What would be a division by zero is NaN, not zero: sensitivity and AUPRC of a class that has no
    records, precision of one that was never predicted, F1 of one for which both is true,
    specificity where there are no other records, AUROC where either kind is missing. Draws
    in which a figure is NaN are left out of its interval, which then says how the figure varies
    where it exists. The macro figure, of all records and of each draw, is the mean of the classes
    whose figure is not NaN.

    A percentile interval knows only the records it has: where no positive record was missed,
    sensitivity is 1 in every draw, and its interval has no width. With few patients it is somewhat
    too narrow for other figures too.

    DataFrames are brought into the order of the classes by the names of their columns; where their
    names or their rows are others than those of `y_true` they are refused.

    AUPRC is the average precision, as in :func:`sklearn.metrics.average_precision_score`.

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
        raise InvalidECGError("A class is named 'macro', as is the last row; give it another name.")
    scores = None if y_score is None else read_scores(y_score, names, y_true)

    def metrics(weights):
        total = weights.sum(axis=1, keepdims=True)
        counts = weights @ (truth * predicted), weights @ truth, weights @ predicted, total
        found = rates(*counts)
        if scores is not None:
            each = [ranking(*columns, weights) for columns in zip(truth.T, scores.T, strict=True)]
            found["auroc"], found["auprc"] = np.stack(each, axis=2)  # (n_draws, n_classes)
        return found

    draws = bootstrap(metrics, groups, len(truth), n_bootstraps, random_state)
    for metric, values in draws.items():
        macro = pd.DataFrame(values).mean(axis=1)  # of those that are not NaN
        draws[metric] = np.column_stack([values, macro])
    support = truth.sum(axis=0).astype(int)
    report = _summarise(draws, [*names, "macro"], confidence)
    return report.assign(support=[*support, support.sum()])


@validate_params(
    _CONSTRAINTS | {"y_model": ["array-like"], "readers": [dict]},
    prefer_skip_nested_validation=True,
)
def compare_readers(
    y_true: ArrayLike,
    y_model: ArrayLike,
    readers: Mapping[str, ArrayLike],
    groups: ArrayLike | None = None,
    *,
    class_names: Names | None = None,
    n_bootstraps: int = 1000,
    confidence: float = 0.95,
    random_state: RandomState = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare a model with human readers of the same records, and each reader with each other.

    Intervals are those of :func:`classification_report_ci`. All readers see the same draws, so
    that the interval of a difference is a paired one.

    Parameters
    ----------
    y_true : array-like of shape (n_records, n_classes)
        The reference: one where a record has the class, zero where not.
    y_model : array-like of shape (n_records, n_classes)
        What the model says.
    readers : dict of str to array-like of shape (n_records, n_classes)
        What each of the others says, by name. None of them is named "model".
    groups : array-like of shape (n_records,), default=None
        Patient of each record. None takes every record for a patient.
    class_names : array-like of shape (n_classes,), default=None
        Names of the classes, in the order of the columns. None takes the columns of `y_true` where
        it is a DataFrame, and otherwise numbers.
    n_bootstraps : int, default=1000
        Number of draws.
    confidence : float, default=0.95
        Share of the draws that lie in the interval.
    random_state : int, RandomState instance or None, default=None
        Of the draws.

    Returns
    -------
    scores : DataFrame
        A row for each class and reader, "model" first. The columns are precision, sensitivity,
        specificity, f1 and kappa (Cohen's [3]_, with the reference), each followed by the ends of
        its interval: ``f1``, ``f1_low``, ``f1_high``.
    pairs : DataFrame
        A row for each class and pair of readers, first and second. The columns are

        - ``f1_difference`` and so on: the first's minus the second's, with the ends of its
          interval, for each column of `scores`;
        - ``kappa_between``: Cohen's kappa between the two, with the ends of its interval;
        - ``only_first_right``, ``only_second_right``: records on which one of the two is right;
        - ``mcnemar_exact``, ``mcnemar_asymptotic``: p-values of McNemar's test, that both are
          right equally often.

    Raises
    ------
    InvalidECGError
        A ``ValueError`` that says what was given and what was expected.

    See Also
    --------
    classification_report_ci : One reader, with scores and macro figures.

    Notes
    -----
    NaN and DataFrames are treated as in :func:`classification_report_ci`. Kappa is NaN where both
    give all records the same answer.

    With :math:`b` and :math:`c` the records on which only the first and only the second is right,
    the asymptotic test [2]_ compares :math:`(b - c)^2 / (b + c)`, without correction for
    continuity as in [1]_, with the chi-squared distribution of one degree of freedom; the exact one
    compares :math:`b` with the binomial distribution of :math:`b + c` draws. Both p-values are 1
    where :math:`b + c = 0`. Both take all records for independent, whatever `groups` says: where
    patients have several records, rely on the intervals of the differences. Nothing is corrected
    for the number of comparisons.

    References
    ----------
    .. [1] A. H. Ribeiro et al., "Automatic diagnosis of the 12-lead ECG using a deep neural
       network", Nature Communications 11, 1760, 2020. doi:10.1038/s41467-020-15432-4
    .. [2] Q. McNemar, "Note on the sampling error of the difference between correlated proportions
       or percentages", Psychometrika 12(2), 1947. doi:10.1007/BF02295996
    .. [3] J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological
       Measurement 20(1), 1960. doi:10.1177/001316446002000104

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_bell.evaluation import compare_readers
    >>> truth = pd.DataFrame({"AF": [1, 1, 1, 0, 0, 0, 0, 0]})
    >>> model = pd.DataFrame({"AF": [1, 1, 1, 1, 0, 0, 0, 0]})
    >>> student = pd.DataFrame({"AF": [1, 0, 0, 1, 0, 0, 0, 0]})
    >>> scores, pairs = compare_readers(truth, model, {"student": student}, random_state=0)
    >>> scores[["precision", "sensitivity", "specificity", "kappa"]].round(2)
                   precision  sensitivity  specificity  kappa
    class reader
    AF    model         0.75         1.00          0.8   0.75
          student       0.50         0.33          0.8   0.14
    >>> pairs[["sensitivity_difference", "only_first_right", "mcnemar_exact"]].round(2)
                          sensitivity_difference  only_first_right  mcnemar_exact
    class first second
    AF    model student                     0.67                 2            0.5
    """
    if "model" in readers or not readers:
        raise InvalidECGError(
            f"readers must hold one reader or more, none of them named 'model', but has "
            f"{list(readers)}. Give another name; for the model alone there is "
            "classification_report_ci."
        )
    given = {"y_true": y_true, "y_model": y_model}
    given |= {f"readers[{reader!r}]": labels for reader, labels in readers.items()}
    for what, labels in given.items():
        if np.ndim(labels) != 2:
            raise InvalidECGError(
                f"{what} must be an indicator (n_records, n_classes), of one column where there is "
                f"one class, but has shape {np.shape(labels)}."
            )
    names = read_names(y_true, class_names)
    said = [read_indicator(labels, what, names, y_true) for what, labels in given.items()]
    who = dict(enumerate(["model", *readers], start=1))  # said[0] is the reference
    both_say = {
        (i, j): said[i] * said[j] for i, j in combinations_with_replacement(range(len(said)), 2)
    }

    def count(weights):
        counts = {pair: weights @ both for pair, both in both_say.items()}
        return counts | {"total": weights.sum(axis=1, keepdims=True)}

    counts = bootstrap(count, groups, len(said[0]), n_bootstraps, random_state)

    def of_pair(i, j):
        return counts[i, j], counts[i, i], counts[j, j], counts["total"]

    draws = {i: rates(*of_pair(0, i)) | {"kappa": kappa(*of_pair(0, i))} for i in who}
    scores = {name: _summarise(draws[i], names, confidence) for i, name in who.items()}
    pairs = {}
    for i, j in combinations(who, 2):
        found = {f"{metric}_difference": draws[i][metric] - draws[j][metric] for metric in draws[i]}
        found["kappa_between"] = kappa(*of_pair(i, j))
        test = mcnemar(said[i] == said[0], said[j] == said[0])
        pairs[who[i], who[j]] = _summarise(found, names, confidence).assign(**test)
    return _by_class(scores, ["reader"]), _by_class(pairs, ["first", "second"])


def _summarise(draws, names, confidence):
    """Return figures (1 + n_draws, n_classes) as their first row, and quantiles of the others."""
    table: dict = {}
    for metric, values in draws.items():
        tails = [(1 - confidence) / 2, (1 + confidence) / 2]
        low, high = pd.DataFrame(values[1:]).quantile(tails).to_numpy()  # without NaN
        table |= {metric: values[0], f"{metric}_low": low, f"{metric}_high": high}
    return pd.DataFrame(table, index=pd.Index(names, name="class"))


def _by_class(tables, levels):
    """Stack tables of classes: all rows of the first class, then all of the second."""
    stacked = pd.concat(tables, names=levels)
    order = np.arange(len(stacked)).reshape(len(tables), -1).T.ravel()
    return stacked.reorder_levels(["class", *levels]).iloc[order]
