"""Pseudo-labels of unlabelled records: the forest's part of the vote."""

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier


def forest_probabilities(latents, codes, weights, unlabelled_latents, n_trees, seed):
    """Return class probabilities of unlabelled latents from extra trees on labelled ones.

    Codes and weights are those of ``fit_linear_head``. Each column of an indicator has a forest of
    its own. Probabilities ``(n_unlabelled, n_outputs)`` are zero for classes without records.
    """
    if codes.ndim == 2:
        presence = [
            forest_probabilities(latents, *column, unlabelled_latents, n_trees, seed)[:, 1]
            for column in zip(codes.T, weights.T, strict=True)
        ]
        return np.stack(presence, axis=1)
    forest = ExtraTreesClassifier(n_trees, random_state=seed)
    forest.fit(latents, codes, sample_weight=weights[codes])
    probabilities = np.zeros((len(unlabelled_latents), len(weights)))
    probabilities[:, forest.classes_] = forest.predict_proba(unlabelled_latents)
    return probabilities
