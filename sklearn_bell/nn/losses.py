"""Losses of self-supervised learning, as functions of tensors."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, einsum

__all__ = ["intra_inter", "lead_distances"]


def lead_distances(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared distance between the predictions and targets of every pair of leads.

    Parameters
    ----------
    prediction, target : Tensor of shape (batch, n_leads, dim)
        Scaled to unit length here. The target receives no gradient.

    Returns
    -------
    distances : Tensor of shape (n_leads, n_leads)
        ``distances[i, j]`` is the mean over the batch of ``2 - 2 cos`` between what lead i predicts
        and the target of lead j, in [0, 4].

    References
    ----------
    Grill JB, et al. Bootstrap your own latent. NeurIPS 2020, equation 2.
    """
    p, z = F.normalize(prediction, dim=-1), F.normalize(target.detach(), dim=-1)
    return 2 - 2 * einsum("bid,bjd->ij", p, z) / len(p)


def intra_inter(distances: Tensor) -> tuple[Tensor, Tensor]:
    """Mean within leads and mean between different leads of a lead-by-lead matrix.

    Parameters
    ----------
    distances : Tensor of shape (n_leads, n_leads)
        For instance of `lead_distances`.

    Returns
    -------
    intra, inter : scalar Tensor
        Mean of the diagonal and of the rest; `inter` is zero for one lead.

    Examples
    --------
    >>> import torch
    >>> intra_inter(torch.tensor([[1.0, 3.0], [5.0, 1.0]]))
    (tensor(1.), tensor(4.))
    """
    n_leads = len(distances)
    trace = distances.trace()
    return trace / n_leads, (distances.sum() - trace) / max(n_leads * (n_leads - 1), 1)
