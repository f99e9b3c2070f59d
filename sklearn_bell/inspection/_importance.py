"""Loss of score without a lead, or without a part of the time."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.metrics import check_scoring
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.parallel import Parallel, delayed

from sklearn_bell._utils import types
from sklearn_bell._utils.leads import check_lead_names
from sklearn_bell._utils.validation import check_groups, check_signals
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.feature_extraction import detect_qrs
from sklearn_bell.inspection._params import check_params


@check_params
def lead_importance(
    estimator: BaseEstimator,
    X: ArrayLike,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    scoring: Any = None,
    lead_names: types.Names | None = None,
    n_repeats: int = 5,
    n_jobs: int | None = None,
    random_state: types.RandomState = None,
) -> Bunch:
    """Measure the loss of score when a lead comes from other patients.

    Permutation importance [1]_ as in :func:`sklearn.inspection.permutation_importance`: one lead is
    exchanged between patients. Two of I, II, III, aVR, aVL and aVF determine the other four. A
    model may replace a lead by another, so the importance of each is a lower bound.

    Parameters
    ----------
    estimator : object
        Fitted classifier or pipeline.
    X : array-like of shape (n_records, n_leads, n_samples)
        Records in mV that were not used for training.
    y : array-like of shape (n_records,) or (n_records, n_classes)
        Labels.
    groups : array-like of shape (n_records,), default=None
        Patient of each record. None takes every record for a patient.
    scoring : str or callable, default=None
        As in scikit-learn; None uses the estimator's own score.
    lead_names : array-like of str of length n_leads, default=None
        Names of the leads. None numbers them.
    n_repeats : int, default=5
        Number of exchanges of each lead.
    n_jobs : int, default=None
        Number of changed copies of X that are scored at the same time.
    random_state : int, RandomState instance or None, default=None
        Seed of the exchanges, which are the same for all leads.

    Returns
    -------
    result : :class:`~sklearn.utils.Bunch`
        importances : ndarray of shape (n_leads, n_repeats)
            Score of the unchanged records minus the score with the lead exchanged.
        importances_mean, importances_std : ndarray of shape (n_leads,)
            Mean and standard deviation over repeats.
        lead_names : list of str of length n_leads
            Names of the leads.

    Raises
    ------
    InvalidECGError
        If X has another shape, or if all records are of one patient.

    References
    ----------
    .. [1] Breiman L. Random forests. Machine Learning 2001;45:5-32.

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_bell import ECGFeatures
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.inspection import lead_importance
    >>> ecg = make_ecg(60, classes=["normal", "lbbb"], leads=["II", "V1"], random_state=0)
    >>> model = make_pipeline(ECGFeatures(), GaussianNB()).fit(ecg.data[:40], ecg.target[:40])
    >>> lead_importance(model, ecg.data[40:], ecg.target[40:], random_state=0).importances.shape
    (2, 5)
    """
    X = check_signals(X)
    names = check_lead_names(lead_names, X.shape[1])
    patients = check_groups(groups, len(X))
    if patients.max() < 1:
        raise InvalidECGError("Expected at least two patients, got one. Add records of others.")
    random_state = check_random_state(random_state)
    orders = [_exchange_patients(patients, random_state) for _ in range(n_repeats)]
    parts = product(range(len(names)), orders)
    losses = _losses_of_score(estimator, X, y, scoring, n_jobs, _replace_lead, parts)
    importances = losses.reshape(len(names), n_repeats)
    return Bunch(
        importances=importances,
        importances_mean=importances.mean(axis=1),
        importances_std=importances.std(axis=1),
        lead_names=names,
    )


def _losses_of_score(estimator, X, y, scoring, n_jobs, change, parts):
    """Return the score of X minus that of ``change(copy of X, *part)``, for each part."""
    scorer = check_scoring(estimator, scoring)
    jobs = (delayed(_score_changed)(scorer, estimator, X, y, change, part) for part in parts)
    scores = np.array(Parallel(n_jobs=n_jobs)(jobs))
    return scorer(estimator, X, y) - scores


def _score_changed(scorer, estimator, X, y, change, part):
    X = X.copy()
    change(X, *part)
    return scorer(estimator, X, y)


def _replace_lead(X, lead, rows):
    X[:, lead] = X[rows, lead]


def _exchange_patients(patients, random_state):
    """Draw for each record a row of the patient that its own patient is paired with."""
    order = random_state.permutation(patients.max() + 1)
    donor = np.roll(order, 1)[np.argsort(order)]
    rows = [np.flatnonzero(patients == patient) for patient in range(len(order))]
    return np.array([random_state.choice(rows[donor[patient]]) for patient in patients])


@check_params
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
    """Measure the loss of score when a part of all records, or of all beats, is hidden.

    In all leads, a straight line between the ends of the part replaces it [1]_.

    Parameters
    ----------
    estimator, X, y, scoring, n_jobs
        As in :func:`lead_importance`.
    sampling_rate : float, default=100
        Sampling rate of X in Hz.
    by : {"beats", "windows"}, default="beats"
        Hide a part of every beat, -0.3 to 0.5 s from the QRS complex, or a window of every record.
    width : float, default=None
        Width of a part in s. None is 0.05 for beats, and 0.5 for windows.

    Returns
    -------
    result : :class:`~sklearn.utils.Bunch`
        importances : ndarray of shape (n_parts,)
            Score of the unchanged records minus the score with the part hidden.
        starts, stops : ndarray of shape (n_parts,)
            Ends of the parts in s, from the QRS complex or from the beginning.

    Raises
    ------
    InvalidECGError
        If X has another shape, if a window would hide all of it, or if there is no beat.

    References
    ----------
    .. [1] Zeiler MD, Fergus R. Visualizing and understanding convolutional networks. ECCV 2014.

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_bell import ECGFeatures
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.inspection import time_importance
    >>> ecg = make_ecg(60, classes=["normal", "lbbb"], leads=["V1"], random_state=0)
    >>> model = make_pipeline(ECGFeatures(), GaussianNB()).fit(ecg.data[:40], ecg.target[:40])
    >>> time_importance(model, ecg.data[40:], ecg.target[40:], width=0.1).starts.round(1)
    array([-0.3, -0.2, -0.1,  0. ,  0.1,  0.2,  0.3,  0.4])
    """
    X = check_signals(X)
    duration = X.shape[-1] / sampling_rate
    width = width or {"beats": 0.05, "windows": 0.5}[by]
    # s around a QRS complex: from the P wave to the end of the T wave
    first, last = (-0.3, 0.5) if by == "beats" else (0, duration)
    starts = np.arange(first, last - 1e-9, width)
    stops = starts + width
    if by == "beats":
        beats = [(at * sampling_rate).round().astype(int) for at in detect_qrs(X, sampling_rate)]
        if not any(map(len, beats)):
            raise InvalidECGError("X has no beats. Check sampling_rate, or use by='windows'.")
    else:
        stops[-1] = duration
        beats = [np.zeros(1, dtype=int)] * len(X)
        if len(starts) < 2:
            raise InvalidECGError(f"Expected a width below {duration:g} s, got {width:g} s.")
    parts = np.round(np.stack([starts, stops], axis=1) * sampling_rate).astype(int)
    losses = _losses_of_score(estimator, X, y, scoring, n_jobs, partial(_hide, beats), parts)
    return Bunch(importances=losses, starts=starts, stops=stops)


def _hide(beats, X, start, stop):
    """Draw straight lines between the samples ``start`` and ``stop`` after each beat."""
    time = np.arange(X.shape[-1])
    for record, record_beats in zip(X, beats, strict=True):
        visible = np.ones(len(time), dtype=bool)
        for beat in record_beats:
            visible[max(0, beat + start) : max(0, beat + stop)] = False
        if visible.any():
            record[:] = [np.interp(time, time[visible], lead[visible]) for lead in record]
