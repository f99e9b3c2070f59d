"""Signs of collapse: how much latents differ between records, and in how many directions."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["LatentStatistics"]


class LatentStatistics:
    """Mean and covariance of latents over batches, for each lead.

    References
    ----------
    Roy O, Vetterli M. The effective rank: a measure of effective dimensionality. EUSIPCO 2007.

    Examples
    --------
    >>> statistics = LatentStatistics()
    >>> statistics.update(torch.ones(16, 8, 64))
    >>> statistics.deviations().max(), statistics.effective_rank()
    (tensor(0.), 0.0)
    """

    def __init__(self):
        self.n = 0

    @torch.no_grad()
    def update(self, latent: Tensor) -> None:
        """Add latents of shape ``(batch, n_leads, n_features)`` or ``(batch, n_features)``."""
        latent = latent.detach().float()
        latent = latent.reshape(len(latent), -1, latent.shape[-1]).transpose(0, 1)
        if self.n == 0:  # sums about the first mean lose no digits to a large mean
            self.origin = latent.mean(1, keepdim=True)
            self.sum = torch.zeros_like(self.origin)  # (n_leads, 1, n_features)
            self.products = self.sum.mT @ self.sum  # (n_leads, n_features, n_features)
        centred = latent - self.origin
        self.n += centred.shape[1]
        self.sum += centred.sum(1, keepdim=True)
        self.products += centred.mT @ centred

    def cpu(self) -> LatentStatistics:
        """Return the same on the CPU, where those of several devices can be merged."""
        copied = LatentStatistics()
        copied.n, copied.origin = self.n, self.origin.cpu()
        copied.sum, copied.products = self.sum.cpu(), self.products.cpu()
        return copied

    def merge(self, other: LatentStatistics) -> None:
        """Add what another has seen."""
        shift = other.origin - self.origin
        self.products += other.products + other.sum.mT @ shift + shift.mT @ other.sum
        self.products += other.n * shift.mT @ shift
        self.sum += other.sum + other.n * shift
        self.n += other.n

    def covariance(self) -> Tensor:
        """Return the covariance within each lead, ``(n_leads, n_features, n_features)``."""
        mean = self.sum / self.n
        return self.products / self.n - mean.mT @ mean

    def deviations(self) -> Tensor:
        """Return for each lead the deviation over records, relative to its size, in [0, 1]."""
        mean = self.origin + self.sum / self.n
        variance = self.covariance().diagonal(dim1=1, dim2=2).sum(1).clamp(min=0)
        size = variance + mean.square().sum((1, 2))
        return (variance / size.clamp(min=torch.finfo(size.dtype).tiny)).sqrt()

    def effective_rank(self) -> float:
        """Return the exponential of the entropy of the covariance's spectrum, averaged over leads.

        It is zero where nothing varies, one where all latents lie on a line, and ``n_features``
        where they vary alike in all directions.
        """
        spectrum = torch.linalg.eigvalsh(self.covariance().cpu().double()).clamp(min=0)
        total = spectrum.sum(1, keepdim=True)
        share = spectrum / total.clamp(min=torch.finfo(spectrum.dtype).tiny)
        entropy = torch.special.entr(share).sum(1)
        return torch.where(total[:, 0] > 0, entropy.exp(), 0.0).mean().item()
