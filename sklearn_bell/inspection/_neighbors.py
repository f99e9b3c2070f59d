"""Which records look alike to a model."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, validate_params
from sklearn.utils.validation import check_is_fitted

from sklearn_bell._utils.validation import check_ecg
from sklearn_bell.classification import ECGClassifier
from sklearn_bell.exceptions import InvalidECGError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator


@validate_params(
    {
        "X": ["array-like"],
        "X_reference": ["array-like"],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "metric": [str, callable],
    },
    prefer_skip_nested_validation=True,
)
def nearest_records(
    estimator: BaseEstimator,
    X: ArrayLike,
    X_reference: ArrayLike,
    *,
    n_neighbors: int = 5,
    metric: str = "cosine",
) -> Bunch:
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

    Raises
    ------
    InvalidECGError
        A ``ValueError``: if `X_reference` has fewer records than `n_neighbors`, or if records are
        not as the estimator wants them.
    NotFittedError
        If the estimator is not fitted.

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
