"""Attribution of a class score to the samples of a record."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import logit
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from sklearn_bell._utils.validation import check_signals
from sklearn_bell.classification import ECGClassifier
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.inspection._params import check_params
from sklearn_bell.nn.encoders import LeadwiseEncoder, ResNet1d, VGG1d
from sklearn_bell.pretraining._base import BasePretrainer

_BATCH = 4  # records whose gradients, at all steps, are held in memory at once


@check_params
def attribution(
    estimator: BaseEstimator,
    X: ArrayLike,
    target: Any = None,
    *,
    method: str = "integrated_gradients",
    n_steps: int = 50,
) -> np.ndarray:
    """Attribute the score of a class to every sample of every lead.

    Parameters
    ----------
    estimator : ECGClassifier or Pipeline
        Fitted classifier, or pipeline of a pretrainer and any steps of scikit-learn. Preprocessing
        that keeps the shape of records may come first. Steps may be in a ``FrozenEstimator``.
    X : array-like of shape (n_records, n_leads, n_samples)
        Records in mV.
    target : object, default=None
        Class, or number of the label in a multi-label problem. None takes the predicted class of
        each record, or the label with the greatest score.
    method : {"integrated_gradients", "grad_cam"}, default="integrated_gradients"
        Integrated gradients [1]_ add up to the difference of the class score from that of a flat
        record. Grad-CAM [2]_ shows the evidence for the class in the last layer of each encoder of
        :mod:`sklearn_bell.nn.encoders`: coarser, never negative, not comparable between leads.
    n_steps : int, default=50
        Steps of the integral.

    Returns
    -------
    maps : ndarray of shape (n_records, n_leads, n_samples), dtype float32
        Attributions of the preprocessed records, not of X. Draw them with
        ``ECGDisplay.from_record(..., attribution=maps[0])``.

    Raises
    ------
    ImportError
        If captum is not installed.
    InvalidECGError
        If the estimator, its preprocessing or encoder is of another kind, or has no such class.

    Notes
    -----
    The score is the logit of the class, minus the mean logit of the other classes unless the
    problem is multi-label. The gradient of a scikit-learn classifier is a central difference over
    half a standard deviation of each latent in X. It is exact for linear classifiers.

    Integrated gradients show the samples that the model uses. Check that they change with the
    weights (Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018).

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
    >>> ecg = make_ecg(20, classes=["normal", "lbbb"], leads=["V1"], duration=2, random_state=0)
    >>> classifier = ECGClassifier(BELLPretrainer(max_epochs=1), max_epochs=1, random_state=0)
    >>> classifier = classifier.fit(ecg.data, ecg.target)
    >>> attribution(classifier, ecg.data[:2], target=1, n_steps=8).shape  # doctest: +SKIP
    (2, 1, 200)
    """
    try:
        from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam
    except ImportError as error:
        raise ImportError(
            "Attribution needs captum, which is not installed: pip install 'sklearn_bell[inspect]'"
        ) from error
    check_is_fitted(estimator)
    records, encoder, forward, weights = _linearise(estimator, check_signals(X), target)
    device = next(encoder.parameters()).device
    weights = torch.from_numpy(weights).float().to(device)

    def score(rows, x):  # x holds the records at rows once for each step
        outputs = forward(x).flatten(1).unflatten(0, (-1, len(weights[rows])))
        return (outputs * weights[rows]).sum(-1).flatten()

    maps = np.empty(records.shape, dtype=np.float32)
    for rows in gen_batches(len(records), _BATCH):
        x = torch.from_numpy(records[rows]).to(device)
        if method == "integrated_gradients":
            explainer = IntegratedGradients(partial(score, rows))
            batch = explainer.attribute(x, n_steps=n_steps, internal_batch_size=None)
        else:
            parts = []
            for layer in _last_layers(encoder[1]):
                explainer = LayerGradCam(partial(score, rows), layer)
                part = explainer.attribute(x, relu_attributions=True).flatten(1)[:, None]
                part = LayerAttribution.interpolate(part, x.shape[-1], "linear")
                parts.append(part.reshape(len(x), -1, x.shape[-1]))
            batch = torch.cat(parts, dim=1).expand(x.shape)
        maps[rows] = batch.detach().cpu().numpy()
    return maps


def _linearise(estimator, X, target):
    """Return preprocessed records, the encoder, a function, and weights of its outputs."""
    steps = _steps(estimator)
    is_model = [isinstance(step, ECGClassifier | BasePretrainer) for step in steps]
    first = is_model.index(True) if any(is_model) else 0
    model, *classifier_steps = steps[first:] or [estimator]
    for step in steps[:first]:
        output = check_signals(step.transform(X))
        if output.shape != X.shape:
            raise InvalidECGError(
                f"Expected preprocessing that keeps the shape {X.shape} of records, but "
                f"{type(step).__name__} makes {output.shape}. Apply it first, and leave it out."
            )
        X = output
    if isinstance(model, ECGClassifier) and not classifier_steps:
        latents, classifier = X, model
    elif isinstance(model, BasePretrainer) and hasattr(steps[-1], "classes_"):
        latents, classifier = model.transform(X), make_pipeline(*classifier_steps)
    else:
        raise InvalidECGError(
            "Expected an ECGClassifier, or a Pipeline of a pretrainer and a classifier, got "
            f"{estimator!r}. Use lead_importance or time_importance for other models."
        )
    scores = _class_scores(classifier, latents)
    is_multilabel = classifier.predict(latents[:1]).ndim == 2
    labels = range(scores.shape[1]) if is_multilabel else np.asarray(steps[-1].classes_).tolist()
    if target is not None and (np.ndim(target) or target not in labels):
        raise InvalidECGError(f"target must be one of {[*labels]}, but is {target!r}.")
    columns = scores.argmax(axis=1) if target is None else [labels.index(target)] * len(scores)
    weights = np.eye(scores.shape[1])[columns]
    if not is_multilabel:
        weights -= (1 - weights) / (scores.shape[1] - 1)
    encoder = model.encoder_.eval()
    if classifier is model:
        return X, encoder, model._net.module_.eval().logits, weights
    return X, encoder, encoder, _slopes(classifier, latents, weights)


def _steps(estimator):
    """Return the flat steps of a pipeline, without ``FrozenEstimator`` around them."""
    if isinstance(estimator, FrozenEstimator):
        return _steps(estimator.estimator)
    if isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
        return [inner for step in steps for inner in _steps(step)]
    return [estimator]


def _class_scores(classifier, X):
    """Return logits (n_records, n_classes), from probabilities if need be."""
    if hasattr(classifier, "decision_function"):
        scores = classifier.decision_function(X)
    else:
        scores = classifier.predict_proba(X)
        if isinstance(scores, list):  # one array for each label
            scores = np.stack([label[:, 1] for label in scores], axis=1)
        scores = logit(np.clip(scores, 1e-3, 1 - 1e-3))
    return np.stack([-scores, scores], axis=1) / 2 if scores.ndim == 1 else scores


def _slopes(classifier, latents, weights):
    """Differentiate the weighted scores of each record by each latent: central differences."""
    steps = np.maximum(latents.std(axis=0), 1e-3 * (1 + np.abs(latents).max(axis=0))) / 2
    slopes = np.empty(latents.shape)
    for row, latent in enumerate(latents):
        moved = np.concatenate([latent + np.diag(steps), latent - np.diag(steps)])
        scores = _class_scores(classifier, moved.astype(latents.dtype)) @ weights[row]
        slopes[row] = np.subtract(*np.split(scores, 2)) / (2 * steps)
    return slopes


def _last_layers(encoder):
    """Return the last layers with a time axis, one for each network."""
    networks = encoder.branches if isinstance(encoder, LeadwiseEncoder) else [encoder.encoder]
    for network in networks:
        if not isinstance(network, ResNet1d | VGG1d):
            raise InvalidECGError(
                f"Expected ResNet1d or VGG1d, got {type(network).__name__}. Use "
                "method='integrated_gradients'."
            )
    return [net.blocks[-1] if isinstance(net, ResNet1d) else net.layers for net in networks]
