"""Which samples of a record speak for a class."""

from __future__ import annotations

from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.special import logit
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils._param_validation import Interval, StrOptions, validate_params
from sklearn.utils.validation import check_is_fitted

from sklearn_bell.classification import ECGClassifier
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.inspection._base import three_dimensional
from sklearn_bell.nn.encoders import LeadwiseEncoder, ResNet1d, VGG1d
from sklearn_bell.pretraining._base import BasePretrainer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator

_BATCH = 4  # records whose gradients, at all steps, are held at once


@validate_params(
    {
        "X": ["array-like"],
        "method": [StrOptions({"integrated_gradients", "grad_cam"})],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def attribution(
    estimator: BaseEstimator,
    X: ArrayLike,
    target: Any = None,
    *,
    method: str = "integrated_gradients",
    n_steps: int = 50,
) -> np.ndarray:
    """Tell for every sample of every lead how much it speaks for a class.

    Parameters
    ----------
    estimator : ECGClassifier or Pipeline
        Fitted: a classifier, or a pipeline of a pretrainer and any classifier of scikit-learn, with
        what there is between them. Steps of preprocessing may come first, if they keep the shape
        of the records, and all or some of it may be in a ``FrozenEstimator``.
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
        Of the records as the classifier or the pretrainer gets them: after the preprocessing of a
        pipeline, and not of X. Draw them with ``ECGDisplay.from_record(..., attribution=maps[0])``.

    Raises
    ------
    ImportError
        If captum is not installed.
    InvalidECGError
        If the estimator is another, or has no such class, or if its preprocessing changes the shape
        of records.

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
    records, encoder, score = _differentiable(estimator, three_dimensional(X), target)
    device = next(encoder.parameters()).device
    maps = np.empty(records.shape, dtype=np.float32)
    for start in range(0, len(records), _BATCH):
        rows = slice(start, start + _BATCH)
        x = torch.from_numpy(records[rows]).to(device)
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
    """Return records, an encoder, with what prepares them, and a function of them: their scores.

    The records have been through all preprocessing. The function is called with the number of the
    first record, and with these and others like them, block by block.
    """
    steps = _steps(estimator)
    known = [isinstance(step, ECGClassifier | BasePretrainer) for step in steps]
    first = known.index(True) if any(known) else 0
    model, *after = steps[first:] or [estimator]
    X = _preprocessed(X, steps[:first])
    if isinstance(model, ECGClassifier) and not after:
        classes, multilabel = model.classes_, model._multilabel
        scores = model.decision_function(X)
        learner = model._net.module_.eval()
        encoder, of_latents = model.encoder_, None
    elif isinstance(model, BasePretrainer) and after and hasattr(after[-1], "classes_"):
        latents = model.transform(X)
        of_latents = partial(_scores, make_pipeline(*after))
        scores = of_latents(latents)
        classes, multilabel = after[-1].classes_, isinstance(after[-1].classes_, list)
        encoder = model.encoder_
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

    return X, encoder, score


def _steps(estimator):
    """Return what a pipeline does, step by step, without what has frozen it."""
    if isinstance(estimator, FrozenEstimator):
        return _steps(estimator.estimator)
    if isinstance(estimator, Pipeline):
        nothing = None, "passthrough"
        return [step for _, one in estimator.steps if one not in nothing for step in _steps(one)]
    return [estimator]


def _preprocessed(X, steps):
    """Return records after steps that keep their shape."""
    for step in steps:
        made = three_dimensional(step.transform(X))
        if made.shape != X.shape:
            raise InvalidECGError(
                f"Preprocessing must keep the shape of records, but {type(step).__name__} makes "
                f"{made.shape} of {X.shape}. Give records that have been through it, and the rest "
                "of the pipeline."
            )
        X = made
    return X


def _chosen(scores, target, classes, multilabel):
    """Return the column of the class that each record is to be explained for."""
    if target is None:
        return scores.argmax(axis=1)
    known = list(range(scores.shape[1])) if multilabel else np.asarray(classes).tolist()
    if np.ndim(target) or target not in known:
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
