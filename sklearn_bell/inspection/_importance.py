"""How much worse a model gets without a lead, or without a part of the time."""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.metrics import check_scoring
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params
from sklearn.utils.parallel import Parallel, delayed

from sklearn_bell._utils.leads import check_lead_names
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.feature_extraction import detect_qrs
from sklearn_bell.inspection._base import three_dimensional

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator

    from sklearn_bell._utils.types import Names, RandomState

_BEFORE, _AFTER = 0.3, 0.5  # s around a QRS complex: from the P wave to the end of the T wave


@validate_params(
    {
        "X": ["array-like"],
        "y": ["array-like"],
        "groups": ["array-like", None],
        "scoring": [str, callable, None],
        "lead_names": ["array-like", None],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def lead_importance(
    estimator: BaseEstimator,
    X: ArrayLike,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    scoring: Any = None,
    lead_names: Names | None = None,
    n_repeats: int = 5,
    n_jobs: int | None = None,
    random_state: RandomState = None,
) -> Bunch:
    """Measure how much worse a model gets when it is shown a lead of other patients.

    As :func:`sklearn.inspection.permutation_importance`, which takes no records of three
    dimensions: a lead is exchanged between records, all others stay [1]_.

    Parameters
    ----------
    estimator : object
        A fitted classifier or pipeline.
    X : array-like of shape (n_records, n_leads, n_samples)
        Records that it has not been trained with.
    y : array-like of shape (n_records,) or (n_records, n_classes)
        Their labels.
    groups : array-like of shape (n_records,), default=None
        Patients: a lead always comes from another one. None takes every record for a patient.
    scoring : str or callable, default=None
        As in scikit-learn; None takes the estimator's own score.
    lead_names : array-like of str of length n_leads, default=None
        Names of the leads. None numbers them.
    n_repeats : int, default=5
        How often each lead is exchanged.
    n_jobs : int, default=None
        Number of leads exchanged at the same time.
    random_state : int, RandomState instance or None, default=None
        Determines who exchanges with whom, the same for all leads.

    Returns
    -------
    result : :class:`~sklearn.utils.Bunch`
        importances : ndarray of shape (n_leads, n_repeats)
            Score of the records as they are, minus that with the lead exchanged.
        importances_mean, importances_std : ndarray of shape (n_leads,)
            Mean and deviation over repeats.
        lead_names : list of str of length n_leads
            Names of the leads.

    Raises
    ------
    InvalidECGError
        If X is not of three dimensions, or if all records are of one patient.

    Notes
    -----
    Leads tell much the same: two of I, II, III, aVR, aVL and aVF determine the other four. What one
    lead of them lacks, the model may find in another, so that each seems to matter little.

    References
    ----------
    .. [1] Breiman L. Random forests. Machine Learning 2001;45:5-32.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_bell import ECGFeatures
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.inspection import lead_importance
    >>> ecg = make_ecg(60, classes=["normal", "lbbb"], leads=["II", "V1"], random_state=0)
    >>> model = make_pipeline(ECGFeatures(sampling_rate=ecg.sampling_rate), LogisticRegression())
    >>> model.fit(ecg.data[:40], ecg.target[:40])
    Pipeline(...)
    >>> result = lead_importance(
    ...     model, ecg.data[40:], ecg.target[40:], lead_names=ecg.lead_names, random_state=0
    ... )
    >>> result.importances.shape
    (2, 5)
    """
    X = three_dimensional(X)
    n_records, n_leads, _ = X.shape
    names = check_lead_names(lead_names, n_leads)
    scorer = check_scoring(estimator, scoring)
    score = partial(_score_with_other_lead, scorer, estimator, X, y)
    random_state = check_random_state(random_state)
    orders = [_of_other_patients(groups, n_records, random_state) for _ in range(n_repeats)]
    scores = Parallel(n_jobs=n_jobs)(
        delayed(score)(lead, rows) for lead in range(n_leads) for rows in orders
    )
    importances = scorer(estimator, X, y) - np.reshape(scores, (n_leads, n_repeats))
    return Bunch(
        importances=importances,
        importances_mean=importances.mean(axis=1),
        importances_std=importances.std(axis=1),
        lead_names=names,
    )


def _score_with_other_lead(scorer, estimator, X, y, lead, rows):
    X = X.copy()
    X[:, lead] = X[rows, lead]
    return scorer(estimator, X, y)


def _of_other_patients(groups, n_records, random_state):
    """Draw for each record one of another patient: each patient gets those of one other."""
    groups = np.arange(n_records) if groups is None else np.asarray(groups)
    if len(groups) != n_records:
        raise InvalidECGError(f"groups has {len(groups)} entries, but X has {n_records} records.")
    patients, number = np.unique(groups, return_inverse=True)
    if len(patients) < 2:
        raise InvalidECGError("All records are of one patient; leads are exchanged between two.")
    order = random_state.permutation(len(patients))
    giver = np.empty_like(order)
    giver[order] = np.roll(order, 1)
    rows_of = [np.flatnonzero(number == patient) for patient in range(len(patients))]
    return np.array([random_state.choice(rows_of[giver[patient]]) for patient in number])


@validate_params(
    {
        "X": ["array-like"],
        "y": ["array-like"],
        "sampling_rate": [Interval(Real, 0, None, closed="neither")],
        "by": [StrOptions({"beats", "windows"})],
        "width": [Interval(Real, 0, None, closed="neither"), None],
        "scoring": [str, callable, None],
        "n_jobs": [Integral, None],
    },
    prefer_skip_nested_validation=True,
)
def time_importance(
    estimator: BaseEstimator,
    X: ArrayLike,
    y: ArrayLike,
    *,
    sampling_rate: float = 100,
    by: Literal["beats", "windows"] = "beats",
    width: float | None = None,
    scoring: Any = None,
    n_jobs: int | None = None,
) -> Bunch:
    """Measure how much worse a model gets when a part of all records, or beats, is hidden.

    What is hidden is a straight line in all leads, from what is before to what is after [1]_.

    Parameters
    ----------
    estimator : object
        A fitted classifier or pipeline.
    X : array-like of shape (n_records, n_leads, n_samples)
        Records in mV that it has not been trained with.
    y : array-like of shape (n_records,) or (n_records, n_classes)
        Their labels.
    sampling_rate : float, default=100
        Sampling rate of X in Hz.
    by : {"beats", "windows"}, default="beats"
        Whether the same part of every beat is hidden, from 0.3 s before the QRS complex to 0.5 s
        after it, so that P waves, QRS complexes and T waves are told apart; or the same window of
        every record.
    width : float, default=None
        Width of what is hidden in s: 0.05 of beats, and 0.5 of records, where it is None.
    scoring : str or callable, default=None
        As in scikit-learn; None takes the estimator's own score.
    n_jobs : int, default=None
        Number of parts hidden at the same time.

    Returns
    -------
    result : :class:`~sklearn.utils.Bunch`
        importances : ndarray of shape (n_parts,)
            Score of the records as they are, minus that with the part hidden.
        starts, stops : ndarray of shape (n_parts,)
            Where the parts begin and end, in s: from the QRS complex, or from the beginning.

    Raises
    ------
    InvalidECGError
        If X is not of three dimensions, if a window would hide all of it, or if there is no beat.

    References
    ----------
    .. [1] Zeiler MD, Fergus R. Visualizing and understanding convolutional networks. ECCV 2014.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_bell import ECGFeatures
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.inspection import time_importance
    >>> ecg = make_ecg(60, classes=["normal", "lbbb"], leads=["V1"], random_state=0)
    >>> model = make_pipeline(ECGFeatures(sampling_rate=ecg.sampling_rate), LogisticRegression())
    >>> model.fit(ecg.data[:40], ecg.target[:40])
    Pipeline(...)
    >>> result = time_importance(
    ...     model, ecg.data[40:], ecg.target[40:], sampling_rate=ecg.sampling_rate, width=0.1
    ... )
    >>> result.starts.round(1)
    array([-0.3, -0.2, -0.1,  0. ,  0.1,  0.2,  0.3,  0.4])
    """
    X = three_dimensional(X)
    n_samples = X.shape[-1]
    if by == "beats":
        width = 0.05 if width is None else width
        starts = np.arange(-_BEFORE, _AFTER - 1e-9, width)
        beats = [(at * sampling_rate).round().astype(int) for at in detect_qrs(X, sampling_rate)]
        if not any(map(len, beats)):
            raise InvalidECGError("No beat was found in any record; see by='windows'.")
    else:
        width = 0.5 if width is None else width
        starts = np.arange(0, n_samples / sampling_rate - 1e-9, width)
        beats = [np.zeros(1, dtype=int)] * len(X)
        if len(starts) < 2:
            raise InvalidECGError(
                f"A window of {width:g} s would hide all of {n_samples / sampling_rate:g} s."
            )
    stops = starts + width
    if by == "windows":
        stops[-1] = n_samples / sampling_rate
    scorer = check_scoring(estimator, scoring)
    score = partial(_score_with_hidden, scorer, estimator, X, y, beats)
    parts = np.round(np.stack([starts, stops], axis=1) * sampling_rate).astype(int)
    scores = Parallel(n_jobs=n_jobs)(delayed(score)(*part) for part in parts)
    importances = scorer(estimator, X, y) - np.array(scores)
    return Bunch(importances=importances, starts=starts, stops=stops)


def _score_with_hidden(scorer, estimator, X, y, beats, start, stop):
    time, hidden = np.arange(X.shape[-1]), X.copy()
    for record, at in zip(hidden, beats, strict=True):
        seen = np.ones(len(time), dtype=bool)
        for beat in at:
            seen[max(0, beat + start) : max(0, beat + stop)] = False
        if seen.any():
            for lead in record:
                lead[:] = np.interp(time, time[seen], lead[seen])
    return scorer(estimator, hidden, y)
