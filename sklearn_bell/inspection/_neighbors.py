"""Records with similar latents."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from sklearn_bell._utils.validation import check_ecg
from sklearn_bell.classification import ECGClassifier
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.inspection._params import check_params


@check_params
def nearest_records(
    estimator: BaseEstimator,
    X: ArrayLike,
    X_reference: ArrayLike,
    *,
    n_neighbors: int = 5,
    metric: str = "cosine",
) -> Bunch:
    """Find the records whose latents are nearest.

    Parameters
    ----------
    estimator : object
        Fitted transformer, ECGClassifier, or pipeline that begins with transformers.
    X : array-like of shape (n_records, n_leads, n_samples)
        Records.
    X_reference : array-like of shape (n_reference_records, n_leads, n_samples)
        Records to search, such as the training set.
    n_neighbors : int, default=5
        Number of neighbours of each record.
    metric : str or callable, default="cosine"
        As in :class:`~sklearn.neighbors.NearestNeighbors`; `X_reference` standardises latents.

    Returns
    -------
    result : :class:`~sklearn.utils.Bunch`
        indices, distances : ndarray of shape (n_records, n_neighbors)
            Rows of `X_reference`, the nearest first, and their distances.

    Raises
    ------
    InvalidECGError
        If `X_reference` has fewer records than `n_neighbors`, or if the estimator refuses records.

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
    latents, reference = (_latents(estimator, records) for records in (X, X_reference))
    if n_neighbors > len(reference):
        raise InvalidECGError(
            f"n_neighbors is {n_neighbors}, but X_reference has {len(reference)} records."
        )
    scaler = StandardScaler().fit(reference)
    search = NearestNeighbors(n_neighbors=n_neighbors, metric=metric)
    search.fit(scaler.transform(reference))
    distances, indices = search.kneighbors(scaler.transform(latents))
    return Bunch(indices=indices, distances=distances)


def _latents(estimator, X):
    if isinstance(estimator, ECGClassifier):
        return estimator._forward("latents", check_ecg(estimator, X, reset=False))
    if isinstance(estimator, Pipeline) and not hasattr(estimator, "transform"):
        estimator = estimator[:-1]
    return np.asarray(estimator.transform(X))
