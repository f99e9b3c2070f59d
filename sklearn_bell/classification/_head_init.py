"""Initial linear head: a logistic regression on the latents."""

import numpy as np
from sklearn.linear_model import LogisticRegression


def fit_linear_head(latents, codes, weights, C, sample_weight=None):
    """Return weight ``(n_outputs, n_latents)`` and bias that predict codes from latents.

    Codes are class positions with class weights ``(n_outputs,)``, or an indicator with weights of
    absence and presence ``(2, n_outputs)``. Latents are standardised. Classes without records get
    zero weights and a low bias.
    """
    if codes.ndim == 2:
        columns = zip(codes.T, weights.T, strict=True)
        heads = [fit_linear_head(latents, *column, C, sample_weight) for column in columns]
        weight, bias = (np.stack(parts) for parts in zip(*heads, strict=True))
        return weight[:, 1] - weight[:, 0], bias[:, 1] - bias[:, 0]
    present = np.unique(codes)
    weight = np.zeros((len(weights), latents.shape[1]))
    bias = np.full(len(weights), -np.log(2 * len(codes)))
    bias[present] = 0.0
    if len(present) > 1:
        class_weight = dict(zip(present, weights[present], strict=True))
        model = LogisticRegression(C=C, class_weight=class_weight, max_iter=1000)
        model.fit(latents, codes, sample_weight)
        coef, intercept = model.coef_, model.intercept_
        if len(present) == 2:  # one row, for the second class
            coef, intercept = (np.concatenate([-x / 2, x / 2]) for x in (coef, intercept))
        weight[present], bias[present] = coef, intercept
    return weight, bias
