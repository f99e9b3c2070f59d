"""What happens to records before an encoder sees them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["InputNormalization"]


_USUAL = 0.2  # mV, about the deviation of a lead of a healthy adult


class InputNormalization(nn.Module):
    """Keep the band of the heart in every lead, and take the square root of its size.

    Below the band lies the drift of the baseline, by breathing and by electrodes; above it hum and
    the noise of muscles. Both last through a record: a network that compares two views of a record
    would recognise it by them, and learn less of the heart.

    A lead of four times the size comes out twice as large: leads and patients come nearer to each
    other, but high voltages still show. Mean 0; a lead with a deviation of 0.2 mV, the usual one,
    comes out with a deviation of 1. A lead that is flat becomes zeros.

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
    >>> prepared = InputNormalization(1000, sampling_rate=100)((wave + 3 * drift)[None, None])
    >>> round(torch.corrcoef(torch.stack([prepared[0, 0], wave]))[0, 1].item(), 2)
    1.0
    """

    def __init__(self, n_samples: int, sampling_rate: float, low: float = 0.5, high: float = 40.0):
        super().__init__()
        frequency = torch.fft.rfftfreq(2 * n_samples, 1 / sampling_rate)
        self.band: Tensor
        self.register_buffer("band", (frequency >= low) & (frequency <= high), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Prepare records in mV, ``(batch, n_leads, n_samples)``."""
        rounding = 1e-6 * x.abs().amax(-1, keepdim=True)
        x = self.filter(x)
        deviation = x.square().mean(-1, keepdim=True).sqrt()
        flat = deviation <= rounding
        return torch.where(flat, 0.0, x / (_USUAL * deviation).sqrt().masked_fill(flat, 1.0))

    def filter(self, x: Tensor) -> Tensor:
        """Return x without what is outside of the band."""
        x = x - x.mean(-1, keepdim=True)  # first, so that a large offset costs no digits
        spectrum = torch.fft.rfft(torch.cat([x, x.flip(-1)], dim=-1))  # mirrored: real cosines
        return torch.fft.irfft(spectrum * self.band, n=2 * x.shape[-1])[..., : x.shape[-1]]
