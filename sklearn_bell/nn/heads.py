"""Heads: small networks on the latents of all leads, with separate weights for each lead."""

import math

import torch
from torch import Tensor, nn

from sklearn_bell.nn.batch_norm import SharedBatchNorm1d

__all__ = ["LeadwiseLinear", "LeadwiseMLP"]


class LeadwiseLinear(nn.Module):
    """``nn.Linear`` for each lead, computed as one batched matrix product.

    Parameters
    ----------
    n_leads, in_features, out_features : int

    Examples
    --------
    >>> LeadwiseLinear(n_leads=8, in_features=64, out_features=5)(torch.zeros(4, 8, 64)).shape
    torch.Size([4, 8, 5])
    """

    def __init__(self, n_leads: int, in_features: int, out_features: int):
        super().__init__()
        bound = 1 / math.sqrt(in_features)  # as nn.Linear does
        weight = torch.empty(n_leads, in_features, out_features).uniform_(-bound, bound)
        bias = torch.empty(n_leads, 1, out_features).uniform_(-bound, bound)
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., n_leads, in_features)`` to ``(..., n_leads, out_features)``."""
        rows = x.flatten(0, -3).transpose(0, 1)  # (n_leads, n_rows, in_features)
        y = torch.baddbmm(self.bias, rows, self.weight).transpose(0, 1)
        return y.unflatten(0, x.shape[:-2])


class LeadwiseMLP(nn.Module):
    """Projector or predictor of BYOL for each lead: linear, batch normalisation, ReLU, linear.

    Parameters
    ----------
    n_leads, in_features, hidden_features, out_features : int

    Examples
    --------
    >>> LeadwiseMLP(8, 64, hidden_features=32, out_features=5)(torch.zeros(4, 8, 64)).shape
    torch.Size([4, 8, 5])
    """

    def __init__(self, n_leads: int, in_features: int, hidden_features: int, out_features: int):
        super().__init__()
        self.expand = LeadwiseLinear(n_leads, in_features, hidden_features)
        self.norm = SharedBatchNorm1d(n_leads * hidden_features)
        self.relu = nn.ReLU()
        self.contract = LeadwiseLinear(n_leads, hidden_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, n_leads, in_features)`` to ``(batch, n_leads, out_features)``."""
        x = self.expand(x)
        x = self.norm(x.flatten(1)).view_as(x)  # a mean and deviation per lead and feature
        return self.contract(self.relu(x))
