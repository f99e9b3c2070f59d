"""Why a model decides as it does: which lead, which moment, and which records it has seen so."""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real

import numpy as np
import torch
from scipy.special import logit
from sklearn.metrics import check_scoring
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from sklearn_bell._leads import check_lead_names
from sklearn_bell._validation import check_ecg, check_signals
from sklearn_bell.classification import ECGClassifier
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.feature_extraction import detect_qrs
from sklearn_bell.nn.encoders import LeadwiseEncoder, ResNet1d, VGG1d
from sklearn_bell.pretraining._base import BasePretrainer

__all__ = ["attribution", "lead_importance", "nearest_records", "time_importance"]

_BEFORE, _AFTER = 0.3, 0.5  # s around a QRS complex: from the P wave to the end of the T wave
_BATCH = 4  # records whose gradients, at all steps, are held at once


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
    estimator,
    X,
    y,
    *,
    groups=None,
    scoring=None,
    lead_names=None,
    n_repeats=5,
    n_jobs=None,
    random_state=None,
):
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
    X = _three_dimensional(X)
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
    estimator, X, y, *, sampling_rate=100, by="beats", width=None, scoring=None, n_jobs=None
):
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
    X = _three_dimensional(X)
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


@validate_params(
    {
        "X": ["array-like"],
        "method": [StrOptions({"integrated_gradients", "grad_cam"})],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def attribution(estimator, X, target=None, *, method="integrated_gradients", n_steps=50):
    """Tell for every sample of every lead how much it speaks for a class.

    Parameters
    ----------
    estimator : ECGClassifier or Pipeline
        Fitted: a classifier, or a pipeline of a pretrainer and any classifier of scikit-learn, with
        what there is between them.
    X : array-like of shape (n_records, n_leads, n_samples)
        Records in mV.
    target : object, default=None
        The class, or the number of the label in a multi-label problem. None takes for each record
        the class that is predicted, or the label with the greatest score.
    method : {"integrated_gradients", "grad_cam"}, default="integrated_gradients"
        Integrated gradients [1]_ from a flat record: what they add up to is what the score of the
        class is above that of a flat record. Or Grad-CAM [2]_, which tells where the last layer of
        the encoder of each lead has seen something for the class, more coarsely and never against
        it; for encoders of :mod:`sklearn_bell.nn.encoders`. It does not compare one lead with
        another, as each encoder has a scale of its own.
    n_steps : int, default=50
        Steps of the integral.

    Returns
    -------
    maps : ndarray of shape (n_records, n_leads, n_samples), dtype float32
        Draw them with ``ECGDisplay.from_record(..., attribution=maps[0])``.

    Raises
    ------
    ImportError
        If captum is not installed.
    InvalidECGError
        If the estimator is another, or has no such class.

    Notes
    -----
    The score is the logit of the class, minus the mean of those of the others where classes exclude
    each other. A classifier of scikit-learn has no gradients: how its score depends on each latent
    is measured by moving it up and down, by half a deviation over X, and taken as linear from
    there. For linear classifiers that is exact.

    Integrated gradients say what the model has used, not what is there: check that they change with
    the weights (Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018), as the tests do.

    References
    ----------
    .. [1] Sundararajan M, Taly A, Yan Q. Axiomatic attribution for deep networks. ICML 2017.
    .. [2] Selvaraju RR, et al. Grad-CAM: visual explanations from deep networks via gradient-based
       localization. ICCV 2017.

    Examples
    --------
    >>> from sklearn_bell import BELLPretrainer, ECGClassifier
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.inspection import attribution
    >>> ecg = make_ecg(
    ...     20, classes=["normal", "lbbb"], leads=["II", "V1"], duration=2, random_state=0
    ... )
    >>> bell = BELLPretrainer(max_epochs=1, head_width=16)
    >>> classifier = ECGClassifier(bell, max_epochs=1, random_state=0).fit(ecg.data, ecg.target)
    >>> attribution(classifier, ecg.data[:2], target=1, n_steps=8).shape  # doctest: +SKIP
    (2, 2, 200)
    """
    try:
        from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam
    except ImportError as error:
        raise ImportError(
            "Attribution needs captum, which is not installed: pip install 'sklearn_bell[inspect]'"
        ) from error
    check_is_fitted(estimator)
    X = _three_dimensional(X)
    encoder, score = _differentiable(estimator, X, target)
    device = next(encoder.parameters()).device
    maps = np.empty(X.shape, dtype=np.float32)
    for start in range(0, len(X), _BATCH):
        rows = slice(start, start + _BATCH)
        x = torch.from_numpy(X[rows]).to(device)
        if method == "integrated_gradients":
            explain = IntegratedGradients(partial(score, start))
            found = explain.attribute(x, n_steps=n_steps, internal_batch_size=None)
        else:
            found = []
            for layer in _last_layers(encoder[1]):
                part = LayerGradCam(partial(score, start), layer).attribute(
                    x, relu_attributions=True
                )
                part = LayerAttribution.interpolate(part.flatten(1)[:, None], x.shape[-1], "linear")
                found.append(part.reshape(len(x), -1, x.shape[-1]))
            found = torch.cat(found, dim=1).expand(x.shape)
        maps[rows] = found.detach().cpu().numpy()
    return maps


def _differentiable(estimator, X, target):
    """Return an encoder, with what prepares records, and a function of records: their scores.

    The function is called with the number of the first record, and with these and others like them,
    block by block.
    """
    if isinstance(estimator, ECGClassifier):
        classes, multilabel = estimator.classes_, estimator._multilabel
        scores = estimator.decision_function(X)
        learner = estimator._net.module_.eval()
        encoder, of_latents = estimator.encoder_, None
    elif (
        isinstance(estimator, Pipeline)
        and isinstance(estimator[0], BasePretrainer)
        and hasattr(estimator[-1], "classes_")
    ):
        latents = estimator[0].transform(X)
        of_latents = partial(_scores, estimator[1:])
        scores = of_latents(latents)
        classes, multilabel = estimator.classes_, isinstance(estimator.classes_, list)
        encoder = estimator[0].encoder_
    else:
        raise InvalidECGError(
            "estimator must be an ECGClassifier, or a Pipeline of a pretrainer and a classifier, "
            f"but is {estimator!r}."
        )
    if scores.ndim == 1:
        scores = np.stack([-scores, scores], axis=1) / 2
    chosen = _chosen(scores, target, classes, multilabel)
    weights = np.eye(scores.shape[1])[chosen]  # (n_records, n_classes)
    if not multilabel:
        weights -= (1 - weights) / (scores.shape[1] - 1)

    if of_latents is None:
        weights = torch.from_numpy(weights).float().to(learner.center.device)

        def score(start, x):
            n = min(_BATCH, len(weights) - start)
            return (
                (learner.logits(x).unflatten(0, (-1, n)) * weights[start : start + n])
                .sum(-1)
                .flatten()
            )

    else:
        slopes = _slopes(of_latents, latents, weights)
        device = next(encoder.parameters()).device
        slopes = torch.from_numpy(slopes).float().to(device)
        encoder.eval()

        def score(start, x):
            n = min(_BATCH, len(slopes) - start)
            found = encoder(x).flatten(1).unflatten(0, (-1, n))
            return (found * slopes[start : start + n]).sum(-1).flatten()

    return encoder, score


def _chosen(scores, target, classes, multilabel):
    """Return the column of the class that each record is to be explained for."""
    if target is None:
        return scores.argmax(axis=1)
    known = list(range(scores.shape[1])) if multilabel else list(classes)
    if target not in known:
        raise InvalidECGError(f"target must be one of {known}, but is {target!r}.")
    return np.full(len(scores), known.index(target))


def _scores(classifier, latents):
    """Return logits of a classifier of latents, or what comes near to them."""
    if hasattr(classifier, "decision_function"):
        return classifier.decision_function(latents)
    probabilities = classifier.predict_proba(latents)
    if isinstance(probabilities, list):  # of several labels
        probabilities = np.stack([one[:, 1] for one in probabilities], axis=1)
    return logit(np.clip(probabilities, 1e-3, 1 - 1e-3))


def _slopes(scores_of, latents, weights):
    """Return how the weighted scores of each record change with each of its latents."""
    steps = np.maximum(latents.std(axis=0), 1e-3 * (1 + np.abs(latents).max(axis=0))) / 2
    slopes = np.empty(latents.shape)
    for row, latent in enumerate(latents):
        moved = np.concatenate([latent + np.diag(steps), latent - np.diag(steps)])
        scores = scores_of(moved.astype(latents.dtype))
        if scores.ndim == 1:
            scores = np.stack([-scores, scores], axis=1) / 2
        up, down = np.split(scores @ weights[row], 2)
        slopes[row] = (up - down) / (2 * steps)
    return slopes


def _last_layers(encoder):
    """Return the modules that show last, along time, what is in each lead."""
    is_leadwise = isinstance(encoder, LeadwiseEncoder)
    networks = list(encoder.branches) if is_leadwise else [encoder.encoder]
    found = []
    for network in networks:
        if isinstance(network, ResNet1d):
            found.append(network.blocks[-1])
        elif isinstance(network, VGG1d):
            found.append(network.layers)
        else:
            raise InvalidECGError(
                f"method='grad_cam' knows ResNet1d and VGG1d, but the encoder is a "
                f"{type(network).__name__}; see method='integrated_gradients'."
            )
    return found


@validate_params(
    {
        "X": ["array-like"],
        "X_reference": ["array-like"],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "metric": [str, callable],
    },
    prefer_skip_nested_validation=True,
)
def nearest_records(estimator, X, X_reference, *, n_neighbors=5, metric="cosine"):
    """Find the records that a model takes for most alike: those whose latents are near.

    Parameters
    ----------
    estimator : object
        A fitted pretrainer or other transformer, an ECGClassifier, or a pipeline that begins with
        transformers.
    X : array-like of shape (n_records, n_leads, n_samples)
        Records.
    X_reference : array-like of shape (n_reference_records, n_leads, n_samples)
        Records to look among, such as those of the training.
    n_neighbors : int, default=5
        How many to find for each.
    metric : str or callable, default="cosine"
        Distance between latents, which are standardised by those of `X_reference`: as of
        :class:`sklearn.neighbors.NearestNeighbors`.

    Returns
    -------
    result : :class:`~sklearn.utils.Bunch`
        indices : ndarray of shape (n_records, n_neighbors)
            Rows of `X_reference`, the nearest first.
        distances : ndarray of shape (n_records, n_neighbors)
            How far they are.

    Examples
    --------
    >>> from sklearn_bell import ECGFeatures
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.inspection import nearest_records
    >>> ecg = make_ecg(20, classes=["normal", "lbbb"], leads=["V1"], random_state=0)
    >>> features = ECGFeatures(sampling_rate=ecg.sampling_rate).fit(ecg.data)
    >>> nearest_records(features, ecg.data[:2], ecg.data, n_neighbors=1).indices
    array([[0],
           [1]])
    """
    check_is_fitted(estimator)
    latents, reference = (_latents(estimator, one) for one in (X, X_reference))
    if n_neighbors > len(reference):
        raise InvalidECGError(
            f"n_neighbors is {n_neighbors}, but X_reference has {len(reference)} records."
        )
    scaler = StandardScaler().fit(reference)
    neighbours = NearestNeighbors(n_neighbors=n_neighbors, metric=metric)
    distances, indices = neighbours.fit(scaler.transform(reference)).kneighbors(
        scaler.transform(latents)
    )
    return Bunch(indices=indices, distances=distances)


def _latents(estimator, X):
    if isinstance(estimator, ECGClassifier):
        return estimator._forward("latents", check_ecg(estimator, X, reset=False))
    if isinstance(estimator, Pipeline) and not hasattr(estimator, "transform"):
        estimator = estimator[:-1]
    return np.asarray(estimator.transform(X))


def _three_dimensional(X):
    if np.ndim(X) != 3:
        raise InvalidECGError(
            f"X must be of shape (n_records, n_leads, n_samples), but has shape {np.shape(X)}."
        )
    return check_signals(X)
