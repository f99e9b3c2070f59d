"""What happens to records before an encoder sees them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["Preparation"]


class Preparation(nn.Module):
    """Take the drift out of every lead, and bring it to mean 0 and deviation 1.

    Drift is what cosines of less than half a hertz explain: wander of the baseline by breathing and
    by electrodes. It lasts through a record, so that a network that compares two views of a record
    recognises it by its drift if it can, and learns nothing of the heart. A lead that is flat
    becomes zeros.

    Parameters
    ----------
    n_samples : int
        Length of the records.
    sampling_rate : float
        Sampling rate in Hz.

    References
    ----------
    Holmes AP, et al. Statistical modelling of low-frequency confounds in fMRI. NeuroImage
    1997;5:S480. The same filter, for the drift of another signal.

    Examples
    --------
    >>> time = torch.arange(1000) / 100
    >>> wave, drift = torch.sin(12 * torch.pi * time), torch.sin(0.4 * torch.pi * time)
    >>> prepared = Preparation(1000, sampling_rate=100)((wave + 3 * drift)[None, None])
    >>> round(torch.corrcoef(torch.stack([prepared[0, 0], wave]))[0, 1].item(), 2)
    1.0
    """

    def __init__(self, n_samples: int, sampling_rate: float):
        super().__init__()
        # cosine k has k / 2 periods in the record; the first is constant
        n_cosines = max(1, min(math.ceil(n_samples / sampling_rate), n_samples // 2))
        k = torch.arange(n_cosines, dtype=torch.float64)[:, None]
        sample = torch.arange(n_samples, dtype=torch.float64)
        cosines = torch.cos(torch.pi * k * (sample + 0.5) / n_samples)
        cosines /= cosines.norm(dim=1, keepdim=True)
        self.drift: Tensor
        self.register_buffer("drift", cosines.float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Prepare records, ``(batch, n_leads, n_samples)``."""
        size = x.abs().amax(-1, keepdim=True)
        x = x - x.mean(-1, keepdim=True)  # first, so that a large offset costs no digits
        x = x - x @ self.drift.T @ self.drift
        deviation = x.square().mean(-1, keepdim=True).sqrt()
        flat = deviation <= 1e-6 * size  # rounding
        return torch.where(flat, 0.0, x / deviation.masked_fill(flat, 1.0))
