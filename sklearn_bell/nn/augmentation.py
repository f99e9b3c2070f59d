"""Augmentations: random modules on batches of records, and the pure functions that they wrap.

``augmentation(x, generator)`` takes x of shape ``(batch, n_leads, n_samples)`` and draws from the
generator only, so that equal seeds give equal views. Any such ``nn.Module`` is an augmentation.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

__all__ = ["Compose", "RandomCrop", "RandomResizedCrop", "TimeOut", "TwoHalves", "TwoViews"]
__all__ += ["crop", "resized_crop", "time_out"]


def crop(x: Tensor, start: Tensor, n_samples: int) -> Tensor:
    """Cut a segment out of every record, the same in all leads.

    Parameters
    ----------
    x : Tensor of shape (batch, n_leads, n_samples_in)
    start : Tensor of shape (batch,), integer
        First sample of each segment.
    n_samples : int
        Length of the view, ``(batch, n_leads, n_samples)``.

    Examples
    --------
    >>> crop(torch.arange(6.0).view(1, 1, 6), torch.tensor([3]), 2)
    tensor([[[3., 4.]]])
    """
    sample = start[:, None] + torch.arange(n_samples, device=x.device)  # (batch, n_samples)
    return x.gather(-1, sample[:, None].expand(-1, x.shape[1], -1))


def resized_crop(x: Tensor, start: Tensor, ratio: Tensor) -> Tensor:
    """Cut a segment out of every record and stretch it to the full length by linear interpolation.

    Parameters
    ----------
    x : Tensor of shape (batch, n_leads, n_samples)
    start, ratio : Tensor of shape (batch,)
        First sample and length of each segment, as fractions of ``n_samples - 1``.

    Examples
    --------
    >>> resized_crop(torch.arange(5.0).view(1, 1, 5), torch.tensor([0.5]), torch.tensor([0.5]))
    tensor([[[2.0000, 2.5000, 3.0000, 3.5000, 4.0000]]])
    """
    last = x.shape[-1] - 1
    grid = torch.linspace(0, 1, last + 1, device=x.device, dtype=x.dtype)
    position = (start[:, None] + ratio[:, None] * grid).clamp(0, 1) * last  # (batch, n_samples)
    ends = position.floor(), position.ceil()
    left, right = (x.gather(-1, end.long()[:, None].expand_as(x)) for end in ends)
    return torch.lerp(left, right, position.frac()[:, None].to(x.dtype))


def time_out(x: Tensor, start: Tensor, ratio: Tensor) -> Tensor:
    """Set a segment of every record to zero, the same in all leads.

    Parameters
    ----------
    x : Tensor of shape (batch, n_leads, n_samples)
    start, ratio : Tensor of shape (batch,)
        Start and length of each segment, as fractions of the record.

    Examples
    --------
    >>> time_out(torch.ones(1, 1, 5), torch.tensor([0.2]), torch.tensor([0.4]))
    tensor([[[1., 0., 0., 1., 1.]]])
    """
    time = (torch.arange(x.shape[-1], device=x.device) + 0.5) / x.shape[-1]
    mask = (time >= start[:, None]) & (time < (start + ratio)[:, None])  # (batch, n_samples)
    return x.masked_fill(mask[:, None], 0)


class RandomCrop(nn.Module):
    """Cut a random segment out of every record, which keeps heart rates and widths of waves.

    Parameters
    ----------
    ratio : float, default=0.5
        Length of the segment, and so of the view, as a fraction of the record.

    Examples
    --------
    >>> RandomCrop()(torch.zeros(4, 8, 1000)).shape
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
    """Cut a random segment out of every record and stretch it to the full length.

    Parameters
    ----------
    low, high : float, default=0.5, 1.0
        Bounds of the length of the segment, drawn uniformly, as fractions of the record.

    Examples
    --------
    >>> RandomResizedCrop()(torch.zeros(4, 8, 1000)).shape
    torch.Size([4, 8, 1000])
    """

    def __init__(self, low: float = 0.5, high: float = 1.0):
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """Return a view of x, ``(batch, n_leads, n_samples)``."""
        return resized_crop(x, *_draw_segment(x, self.low, self.high, generator))


class TimeOut(nn.Module):
    """Set a random segment of every record to zero.

    Parameters
    ----------
    low, high : float, default=0.0, 0.5
        Bounds of the length of the segment, drawn uniformly, as fractions of the record.

    Examples
    --------
    >>> TimeOut(low=0.5, high=0.5)(torch.ones(4, 8, 1000)).mean()
    tensor(0.5000)
    """

    def __init__(self, low: float = 0.0, high: float = 0.5):
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """Return a view of x, ``(batch, n_leads, n_samples)``."""
        return time_out(x, *_draw_segment(x, self.low, self.high, generator))


def _draw_segment(x, low, high, generator):
    """Draw start and length of a segment per record, as fractions."""
    draw = torch.rand(2, len(x), device=x.device, generator=generator)
    ratio = low + (high - low) * draw[0]
    return draw[1] * (1 - ratio), ratio


class Compose(nn.Module):
    """Apply augmentations one after another; without any, the view is x itself.

    Examples
    --------
    >>> augmentation = Compose(RandomResizedCrop(low=0.7), TimeOut(high=0.2))
    """

    def __init__(self, *augmentations: nn.Module):
        super().__init__()
        self.augmentations = nn.ModuleList(augmentations)

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """Return a view of x, ``(batch, n_leads, n_samples_out)``."""
        for augmentation in self.augmentations:
            x = augmentation(x, generator)
        return x


class TwoViews(nn.Module):
    """Make two independent views of every record by an augmentation.

    Examples
    --------
    >>> first, second = TwoViews(RandomCrop())(torch.zeros(4, 8, 1000))
    """

    def __init__(self, augmentation: Callable[..., Tensor]):
        super().__init__()
        self.augmentation = augmentation

    def forward(self, x: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return two views of x, each ``(batch, n_leads, n_samples_out)``."""
        return self.augmentation(x, generator), self.augmentation(x, generator)


class TwoHalves(TwoViews):
    """Make a view of each half of every record by an augmentation.

    Examples
    --------
    >>> TwoHalves(Compose())(torch.arange(5.0)[None, None])
    (tensor([[[0., 1., 2.]]]), tensor([[[2., 3., 4.]]]))
    """

    def forward(self, x: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return two views of x, each ``(batch, n_leads, n_samples / 2)``, rounded up."""
        half = (x.shape[-1] + 1) // 2
        first, second = x[..., :half], x[..., -half:]
        return self.augmentation(first, generator), self.augmentation(second, generator)
