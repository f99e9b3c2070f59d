"""Pseudo-labels of unlabelled records: the forest's part of the vote."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier


def forest_probabilities(latents, codes, weights, unlabelled_latents, n_trees, seed):
    """Return class probabilities of unlabelled latents from extra trees on labelled ones.

    Parameters
    ----------
    latents : ndarray of shape (n_records, n_latents)
    codes : ndarray of shape (n_records,) or (n_records, n_outputs)
        Class positions, or an indicator, each column of which has a forest of its own.
    weights : ndarray of shape (n_outputs,) or (2, n_outputs)
        Class weights; or those of absence and presence of each class.
    unlabelled_latents : ndarray of shape (n_unlabelled, n_latents)
    n_trees, seed : int

    Returns
    -------
    probabilities : ndarray of shape (n_unlabelled, n_outputs)
        Zero for classes without records.
    """
    if codes.ndim == 2:
        columns = [
            forest_probabilities(
                latents, column, column_weights, unlabelled_latents, n_trees, seed
            )[:, 1]
            for column, column_weights in zip(codes.T, weights.T, strict=True)
        ]
        return np.stack(columns, axis=1)
    forest = ExtraTreesClassifier(n_trees, random_state=seed)
    forest.fit(latents, codes, sample_weight=weights[codes])
    probabilities = np.zeros((len(unlabelled_latents), len(weights)))
    probabilities[:, forest.classes_] = forest.predict_proba(unlabelled_latents)
    return probabilities
