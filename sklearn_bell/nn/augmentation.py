"""Augmentations: a batch of records in, another view of the same records out, on its device.

Each is a pure function of tensors with a thin random module above it. A module is called as
``augmentation(x, generator)`` with x of shape ``(batch, n_leads, n_samples)``; all that is random
is drawn from the generator, so that the same seed gives the same view. To make one of your own,
write an ``nn.Module`` with such a ``forward``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

__all__ = [
    "Compose",
    "RandomCrop",
    "RandomResizedCrop",
    "TimeOut",
    "TwoHalves",
    "TwoViews",
    "crop",
    "resized_crop",
    "time_out",
]


def crop(x: Tensor, start: Tensor, n_samples: int) -> Tensor:
    """Cut a stretch out of every record, of all leads alike.

    Parameters
    ----------
    x : Tensor of shape (batch, n_leads, n_samples_in)
        Records.
    start : Tensor of shape (batch,), integer
        First sample of each stretch.
    n_samples : int
        Length of the stretches.

    Returns
    -------
    view : Tensor of shape (batch, n_leads, n_samples)

    Examples
    --------
    >>> x = torch.arange(6.0).expand(2, 1, 6)
    >>> crop(x, torch.tensor([0, 3]), 3)[:, 0]
    tensor([[0., 1., 2.],
            [3., 4., 5.]])
    """
    sample = start[:, None] + torch.arange(n_samples, device=x.device)  # (batch, n_samples)
    return x.gather(-1, sample[:, None].expand(-1, x.shape[1], -1))


def resized_crop(x: Tensor, start: Tensor, ratio: Tensor) -> Tensor:
    """Cut a stretch out of every record and stretch it to the full length, all leads alike.

    Parameters
    ----------
    x : Tensor of shape (batch, n_leads, n_samples)
        Records.
    start, ratio : Tensor of shape (batch,)
        First sample of each stretch, and its length, both as fractions of ``n_samples - 1``.

    Returns
    -------
    view : Tensor of shape (batch, n_leads, n_samples)
        Interpolated linearly.

    Examples
    --------
    >>> x = torch.arange(5.0)[None, None]
    >>> resized_crop(x, torch.tensor([0.5]), torch.tensor([0.5]))
    tensor([[[2.0000, 2.5000, 3.0000, 3.5000, 4.0000]]])
    """
    last = x.shape[-1] - 1
    grid = torch.linspace(0, 1, last + 1, device=x.device, dtype=x.dtype)
    position = (start[:, None] + ratio[:, None] * grid).clamp(0, 1) * last  # (batch, n_samples)
    left = position.floor().clamp(max=max(last - 1, 0)).long()
    weight = (position - left)[:, None]
    left = left[:, None].expand_as(x)
    right = (left + 1).clamp(max=last)
    return torch.lerp(x.gather(-1, left), x.gather(-1, right), weight.to(x.dtype))


def time_out(x: Tensor, start: Tensor, ratio: Tensor) -> Tensor:
    """Set a stretch of every record to zero, in all leads alike.

    Parameters
    ----------
    x : Tensor of shape (batch, n_leads, n_samples)
        Records.
    start, ratio : Tensor of shape (batch,)
        Begin and length of each stretch, as fractions of the record.

    Returns
    -------
    view : Tensor of shape (batch, n_leads, n_samples)
        A new tensor.

    Examples
    --------
    >>> time_out(torch.ones(1, 1, 5), torch.tensor([0.2]), torch.tensor([0.4]))
    tensor([[[1., 0., 0., 1., 1.]]])
    """
    time = (torch.arange(x.shape[-1], device=x.device) + 0.5) / x.shape[-1]
    out = (time >= start[:, None]) & (time < (start + ratio)[:, None])  # (batch, n_samples)
    return x.masked_fill(out[:, None], 0)


def _random_stretch(x: Tensor, low: float, high: float, generator: Generator | None):
    """Draw where a stretch of each record begins, and its length in [low, high), as fractions."""
    draw = torch.rand(2, len(x), device=x.device, generator=generator)
    ratio = low + (high - low) * draw[0]
    return draw[1] * (1 - ratio), ratio


class RandomCrop(nn.Module):
    """Cut a random stretch out of every record. Rates and widths of waves stay what they were.

    Parameters
    ----------
    ratio : float, default=0.5
        Length of the stretch as a fraction of the record, which is that of the view.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> RandomCrop()(torch.randn(4, 8, 1000), generator).shape
    torch.Size([4, 8, 500])
    """

    def __init__(self, ratio: float = 0.5):
        super().__init__()
        self.ratio = ratio

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """Return a view of x, ``(batch, n_leads, round(ratio * n_samples))``."""
        n_samples = max(1, round(self.ratio * x.shape[-1]))
        n_starts = x.shape[-1] - n_samples + 1
        start = torch.randint(n_starts, (len(x),), device=x.device, generator=generator)
        return crop(x, start, n_samples)


class RandomResizedCrop(nn.Module):
    """Cut a random stretch out of every record and stretch it to the full length.

    Parameters
    ----------
    low, high : float, default=0.5, 1.0
        The length of the stretch is uniform between these fractions of the record.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> RandomResizedCrop()(torch.randn(4, 8, 1000), generator).shape
    torch.Size([4, 8, 1000])
    """

    def __init__(self, low: float = 0.5, high: float = 1.0):
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """Return a view of x, ``(batch, n_leads, n_samples)``."""
        return resized_crop(x, *_random_stretch(x, self.low, self.high, generator))


class TimeOut(nn.Module):
    """Set a random stretch of every record to zero.

    Parameters
    ----------
    low, high : float, default=0.0, 0.5
        The length of the stretch is uniform between these fractions of the record.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> view = TimeOut(low=0.5, high=0.5)(torch.ones(4, 8, 1000), generator)
    >>> view.mean()
    tensor(0.5000)
    """

    def __init__(self, low: float = 0.0, high: float = 0.5):
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """Return a view of x, ``(batch, n_leads, n_samples)``."""
        return time_out(x, *_random_stretch(x, self.low, self.high, generator))


class Compose(nn.Module):
    """One augmentation after the other.

    Parameters
    ----------
    *augmentations : nn.Module
        Called in this order. Without any the view is x itself.

    Examples
    --------
    >>> augmentation = Compose(RandomResizedCrop(low=0.7), TimeOut(high=0.2))
    """

    def __init__(self, *augmentations: nn.Module):
        super().__init__()
        self.augmentations = nn.ModuleList(augmentations)

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """Return a view of x, ``(batch, n_leads, n_samples)``."""
        for augmentation in self.augmentations:
            x = augmentation(x, generator)
        return x


class TwoViews(nn.Module):
    """Two views of every record, drawn apart.

    Parameters
    ----------
    augmentation : callable
        Makes a view.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> first, second = TwoViews(RandomCrop())(torch.randn(4, 8, 1000), generator)
    >>> first.shape, second.shape
    (torch.Size([4, 8, 500]), torch.Size([4, 8, 500]))
    """

    def __init__(self, augmentation: Callable[..., Tensor]):
        super().__init__()
        self.augmentation = augmentation

    def forward(self, x: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return two views of x, each ``(batch, n_leads, n_samples)``."""
        return self.augmentation(x, generator), self.augmentation(x, generator)


class TwoHalves(nn.Module):
    """The first and the second half of every record, as views: neighbours in time.

    Parameters
    ----------
    augmentation : callable
        Makes a view of each half.

    Examples
    --------
    >>> TwoHalves(Compose())(torch.arange(5.0)[None, None])
    (tensor([[[0., 1., 2.]]]), tensor([[[2., 3., 4.]]]))
    """

    def __init__(self, augmentation: Callable[..., Tensor]):
        super().__init__()
        self.augmentation = augmentation

    def forward(self, x: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return two views of x, each ``(batch, n_leads, n_samples / 2)``, rounded up."""
        half = (x.shape[-1] + 1) // 2
        first, second = x[..., :half], x[..., -half:]
        return self.augmentation(first, generator), self.augmentation(second, generator)
