"""What happens to records before an encoder sees them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Preparation"]


class Preparation(nn.Module):
    """Keep the band of the heart in every lead, and bring it to mean 0 and deviation 1.

    Below the band lies the drift of the baseline, by breathing and by electrodes; above it hum and
    the noise of muscles. Both last through a record: a network that compares two views of a record
    would recognise it by them, and learn less of the heart. A lead that is flat becomes zeros.

    Parameters
    ----------
    n_samples : int
        Length of the records.
    sampling_rate : float
        Sampling rate in Hz.
    low, high : float, default=0.5, 40.0
        The band in Hz. Cosines of the record (its discrete cosine transform, which mirrors the
        ends) outside of it are left out.

    Examples
    --------
    >>> time = torch.arange(1000) / 100
    >>> wave, drift = torch.sin(12 * torch.pi * time), torch.cos(0.4 * torch.pi * time)
    >>> prepared = Preparation(1000, sampling_rate=100)((wave + 3 * drift)[None, None])
    >>> round(torch.corrcoef(torch.stack([prepared[0, 0], wave]))[0, 1].item(), 2)
    1.0
    """

    def __init__(self, n_samples: int, sampling_rate: float, low: float = 0.5, high: float = 40.0):
        super().__init__()
        frequency = torch.fft.rfftfreq(2 * n_samples, 1 / sampling_rate)
        self.band: Tensor
        self.register_buffer("band", (frequency >= low) & (frequency <= high), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Prepare records, ``(batch, n_leads, n_samples)``."""
        size = x.abs().amax(-1, keepdim=True)
        x = x - x.mean(-1, keepdim=True)  # first, so that a large offset costs no digits
        spectrum = torch.fft.rfft(torch.cat([x, x.flip(-1)], dim=-1))  # mirrored: real cosines
        x = torch.fft.irfft(spectrum * self.band, n=2 * x.shape[-1])[..., : x.shape[-1]]
        deviation = x.square().mean(-1, keepdim=True).sqrt()
        flat = deviation <= 1e-6 * size  # rounding
        return torch.where(flat, 0.0, x / deviation.masked_fill(flat, 1.0))
