"""Normalisation of records before the encoder."""

import torch
from torch import Tensor, nn

__all__ = ["InputNormalization"]

_TYPICAL_DEVIATION = 0.2  # mV, of a lead of a healthy adult


class InputNormalization(nn.Module):
    """Band-pass filter each lead and compress its amplitude by a square root.

    Drift below the band, and hum and muscle noise above it, last through a record: a network that
    compares two views would recognise records by them. A lead of four times the amplitude comes out
    twice as large: leads and patients become more alike, but high voltages still show. Outputs have
    mean 0, and deviation 1 where that of the lead is 0.2 mV. A flat lead becomes zeros.

    Parameters
    ----------
    n_samples, sampling_rate : int, float
        Number of samples of a record, and their rate in Hz.
    low, high : float, default=0.5, 40.0
        Band in Hz. Coefficients of the discrete cosine transform outside the band are dropped.

    Examples
    --------
    >>> drift = 3 * torch.cos(torch.pi * torch.arange(1000) / 200).view(1, 1, 1000)  # 0.25 Hz
    >>> InputNormalization(1000, sampling_rate=100).filter(drift).abs().max() < 0.01
    tensor(True)
    """

    def __init__(self, n_samples: int, sampling_rate: float, low: float = 0.5, high: float = 40.0):
        super().__init__()
        frequency = torch.fft.rfftfreq(2 * n_samples, 1 / sampling_rate)
        self.band: Tensor
        self.band = nn.Buffer((frequency >= low) & (frequency <= high), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise records in mV, ``(batch, n_leads, n_samples)``."""
        rounding = 1e-6 * x.abs().amax(-1, keepdim=True)
        x = self.filter(x)
        deviation = x.square().mean(-1, keepdim=True).sqrt()
        flat = deviation <= rounding
        scale = (_TYPICAL_DEVIATION * deviation).sqrt()
        return torch.where(flat, 0.0, x / scale.masked_fill(flat, 1.0))

    def filter(self, x: Tensor) -> Tensor:
        """Remove frequencies outside the band."""
        x = x - x.mean(-1, keepdim=True)  # first, so that a large offset costs no digits
        mirrored = torch.cat([x, x.flip(-1)], dim=-1)  # makes it a cosine transform
        spectrum = torch.fft.rfft(mirrored) * self.band
        return torch.fft.irfft(spectrum, n=mirrored.shape[-1])[..., : x.shape[-1]]
