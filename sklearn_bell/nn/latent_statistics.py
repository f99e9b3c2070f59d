"""Streaming mean and covariance of latents, and the signs of collapse computed from them."""

import copy
from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor

__all__ = ["LatentStatistics"]


class LatentStatistics:
    """Mean and covariance of latents over batches, for each lead.

    Examples
    --------
    >>> statistics = LatentStatistics()
    >>> statistics.update(torch.ones(16, 2, 64))
    >>> statistics.deviations(), statistics.effective_rank()
    (tensor([0., 0.]), 0.0)
    """

    def __init__(self):
        self.n = 0

    @torch.no_grad()
    def update(self, latent: Tensor) -> None:
        """Add latents of shape ``(batch, n_leads, n_features)`` or ``(batch, n_features)``."""
        latent = latent.detach().to(torch.promote_types(latent.dtype, torch.float32))
        latent = latent.reshape(len(latent), -1, latent.shape[-1]).transpose(0, 1)
        if self.n == 0:  # sums about the first mean lose no digits to a large mean
            self.origin = latent.mean(1, keepdim=True)
            self.sum = torch.zeros_like(self.origin)  # (n_leads, 1, n_features)
            self.products = self.sum.mT @ self.sum  # (n_leads, n_features, n_features)
        centred = latent - self.origin
        self.n += centred.shape[1]
        self.sum += centred.sum(1, keepdim=True)
        self.products += centred.mT @ centred

    def cpu(self) -> Self:
        """Return a copy on the CPU, to merge statistics of several devices."""
        copied = copy.copy(self)
        tensors = self.origin, self.sum, self.products
        copied.origin, copied.sum, copied.products = (tensor.cpu() for tensor in tensors)
        return copied

    def merge(self, other: Self) -> None:
        """Add the latents of other statistics."""
        shift = other.origin - self.origin
        self.products += other.products + other.sum.mT @ shift + shift.mT @ other.sum
        self.products += other.n * shift.mT @ shift
        self.sum += other.sum + other.n * shift
        self.n += other.n

    def mean(self) -> Tensor:
        """Return the mean over records, ``(n_leads, 1, n_features)``."""
        return self.origin + self.sum / self.n

    def covariance(self) -> Tensor:
        """Return the covariance within each lead, ``(n_leads, n_features, n_features)``."""
        mean = self.sum / self.n
        return self.products / self.n - mean.mT @ mean

    def deviations(self) -> Tensor:
        """Return the deviation of each lead relative to the size of its latents, in [0, 1]."""
        variance = self.covariance().diagonal(dim1=1, dim2=2).sum(1).clamp(min=0)
        size = variance + self.mean().square().sum((1, 2))
        return (variance / size.clamp(min=torch.finfo(size.dtype).tiny)).sqrt()

    def effective_rank(self) -> float:
        """Return the effective rank of Roy and Vetterli (EUSIPCO 2007), averaged over leads.

        It is 0 for constant latents, 1 on a line, and ``n_features`` for equal variances.
        """
        spectrum = torch.linalg.eigvalsh(self.covariance().cpu().double()).clamp(min=0)
        total = spectrum.sum(1, keepdim=True)
        share = spectrum / total.clamp(min=torch.finfo(spectrum.dtype).tiny)
        entropy = torch.special.entr(share).sum(1)
        return torch.where(total[:, 0] > 0, entropy.exp(), 0.0).mean().item()


def latent_mean_std(batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Return means and deviations, 1 if zero, of latents over batches ``(batch, n_latents)``."""
    statistics = LatentStatistics()
    for latent in batches:
        statistics.update(latent.double()[:, :, None])  # every latent as a lead of one feature
    mean, variance = statistics.mean().flatten(), statistics.covariance().flatten()
    deviation = variance.clamp(min=0).sqrt()
    resolution = 1e-6 * (mean.square() + deviation.square()).sqrt().max()
    return mean.float(), deviation.masked_fill(deviation <= resolution, 1.0).float()
