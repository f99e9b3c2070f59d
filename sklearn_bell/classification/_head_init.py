"""Initial linear head: a logistic regression on the latents."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression


def fit_linear_head(latents, codes, weights, C):
    """Return weight and bias of a linear layer that predicts codes from latents.

    Parameters
    ----------
    latents : ndarray of shape (n_records, n_latents)
        Standardised.
    codes : ndarray of shape (n_records,) or (n_records, n_outputs)
        Class positions, or an indicator.
    weights : ndarray of shape (n_outputs,) or (2, n_outputs)
        Class weights; or those of absence and presence of each class.
    C : float
        As in :class:`sklearn.linear_model.LogisticRegression`.

    Returns
    -------
    weight : ndarray of shape (n_outputs, n_latents)
    bias : ndarray of shape (n_outputs,)
        Classes without records get zero weights and a low bias.
    """
    if codes.ndim == 2:
        heads = [
            fit_linear_head(latents, column, column_weights, C)
            for column, column_weights in zip(codes.T, weights.T, strict=True)
        ]
        weight, bias = (np.stack(parts) for parts in zip(*heads, strict=True))
        return weight[:, 1] - weight[:, 0], bias[:, 1] - bias[:, 0]
    present = np.unique(codes)
    weight = np.zeros((len(weights), latents.shape[1]))
    bias = np.full(len(weights), -np.log(2 * len(codes)))
    bias[present] = 0.0
    if len(present) > 1:
        class_weight = dict(zip(present, weights[present], strict=True))
        model = LogisticRegression(C=C, class_weight=class_weight, max_iter=1000)
        model.fit(latents, codes)
        if len(present) == 2:  # one row, for the second class
            weight[present], bias[present] = (
                [-x / 2, x / 2] for x in (model.coef_[0], model.intercept_[0])
            )
        else:
            weight[present], bias[present] = model.coef_, model.intercept_
    return weight, bias
