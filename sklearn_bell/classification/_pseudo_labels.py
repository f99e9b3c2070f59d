"""What a forest makes of unlabelled records, for the vote that `ECGClassifier` fine-tunes to."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier


def pseudo_label_probabilities(latents, codes, weights, others, n_trees, seed):
    """Return what extra trees, having learnt codes from latents, make of other latents.

    Parameters
    ----------
    latents : ndarray of shape (n_records, n_latents)
    codes : ndarray of shape (n_records,) or (n_records, n_outputs)
        Positions of classes, or an indicator, of which every column has trees of its own.
    weights : ndarray of shape (n_outputs,) or (2, n_outputs)
        Of the classes; or of the absence and presence of each.
    others : ndarray of shape (n_others, n_latents)
    n_trees, seed : int

    Returns
    -------
    probabilities : ndarray of shape (n_others, n_outputs)
        Zero for a class that does not occur.
    """
    if codes.ndim == 2:
        columns = [
            pseudo_label_probabilities(latents, column, of_column, others, n_trees, seed)[:, 1]
            for column, of_column in zip(codes.T, weights.T, strict=True)
        ]
        return np.stack(columns, axis=1)
    trees = ExtraTreesClassifier(n_trees, random_state=seed)
    trees.fit(latents, codes, sample_weight=weights[codes])
    probabilities = np.zeros((len(others), len(weights)))
    probabilities[:, trees.classes_] = trees.predict_proba(others)
    return probabilities
