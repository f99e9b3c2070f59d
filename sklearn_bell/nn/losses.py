"""Losses of self-supervised learning, as functions of tensors."""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, einsum

__all__ = ["barlow_twins_lead_loss", "fuse", "intra_inter", "lead_distances"]
__all__ += ["clocs_loss", "nt_xent_loss", "reconstruction_loss"]


def _in_float32(loss):
    """Compute a loss of half-precision tensors in float32: means over a batch need the digits."""

    def upcast(x):
        return x.float() if getattr(x, "dtype", None) in (torch.half, torch.bfloat16) else x

    @functools.wraps(loss)
    def in_float32(*args, **kwargs):
        args, kwargs = tuple(map(upcast, args)), {name: upcast(x) for name, x in kwargs.items()}
        device = next(x.device for x in (*args, *kwargs.values()) if isinstance(x, Tensor))
        with torch.autocast(device.type, enabled=False):
            return loss(*args, **kwargs)

    return in_float32


@_in_float32
def lead_distances(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared distances of every pair of leads: equation 2 of BYOL (Grill et al., NeurIPS 2020).

    Parameters
    ----------
    prediction, target : Tensor of shape (batch, n_leads, dim)
        Scaled to unit length here. The target receives no gradient.

    Returns
    -------
    distances : Tensor of shape (n_leads, n_leads)
        ``distances[i, j]`` is the mean over the batch of ``2 - 2 cos`` of the prediction of lead i
        and the target of lead j, in [0, 4].

    Examples
    --------
    >>> lead_distances(torch.eye(2)[None], -torch.eye(2)[None])
    tensor([[4., 2.],
            [2., 4.]])
    """
    p, z = F.normalize(prediction, dim=-1), F.normalize(target.detach(), dim=-1)
    return 2 - 2 * einsum("bid,bjd->ij", p, z) / len(p)


def intra_inter(distances: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of the diagonal of ``(n_leads, n_leads)``, and of the rest (0 for one lead).

    Examples
    --------
    >>> intra_inter(torch.tensor([[1.0, 3.0], [5.0, 1.0]]))
    (tensor(1.), tensor(4.))
    """
    n_leads, trace = len(distances), distances.trace()
    return trace / n_leads, (distances.sum() - trace) / max(n_leads * (n_leads - 1), 1)


def fuse(distances: Tensor, gamma: float) -> dict[str, Tensor]:
    """Return the loss of BELL, and its terms: the means within (intra) and between leads (inter).

    Parameters
    ----------
    distances : Tensor of shape (n_leads, n_leads)
    gamma : float
        Weight of the mean within leads, or 1 for one lead; the other mean has ``1 - gamma``.

    Examples
    --------
    >>> fuse(torch.tensor([[1.0, 3.0], [5.0, 1.0]]), gamma=0.5)
    {'loss': tensor(2.5000), 'intra': tensor(1.), 'inter': tensor(4.)}
    """
    intra, inter = intra_inter(distances)
    gamma = gamma if len(distances) > 1 else 1.0
    return {"loss": gamma * intra + (1 - gamma) * inter, "intra": intra, "inter": inter}


@_in_float32
def barlow_twins_lead_loss(first: Tensor, second: Tensor, trade_off: float = 0.005) -> Tensor:
    """Barlow Twins loss (Zbontar et al., ICML 2021) of every pair of leads, per feature.

    Parameters
    ----------
    first, second : Tensor of shape (batch, n_leads, dim)
        Projections of two views.
    trade_off : float, default=0.005
        Weight of the correlations between different features.

    Returns
    -------
    losses : Tensor of shape (n_leads, n_leads)
        For lead i of the first view and lead j of the second, with c their matrix of correlations
        over the batch: the mean over features of ``(1 - c[a, a]) ** 2``, plus `trade_off` times the
        sum of the other ``c[a, b] ** 2`` over the number of features.

    Examples
    --------
    >>> z = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])[:, None]
    >>> barlow_twins_lead_loss(z, -z)
    tensor([[4.0000]])
    """
    first, second = ((z - z.mean(0)) / (z.std(0, correction=0) + 1e-6) for z in (first, second))
    correlation = einsum("bia,bjc->ijac", first, second) / len(first)
    diagonal = correlation.diagonal(dim1=2, dim2=3)  # (n_leads, n_leads, dim)
    redundancy = correlation.square().sum((2, 3)) - diagonal.square().sum(2)
    return ((1 - diagonal).square().sum(2) + trade_off * redundancy) / first.shape[-1]


@_in_float32
def clocs_loss(views: Tensor, same: Tensor, temperature: float) -> Tensor:
    """CLOCS (Kiyasseh et al., ICML 2021): find records of the same patient in another view.

    The loss is the negative log-probability of records of the same patient, averaged over these,
    over records, and over ordered pairs of different views.

    Parameters
    ----------
    views : Tensor of shape (batch, n_views, dim)
        Projections, scaled to unit length here.
    same : bool Tensor of shape (batch, batch)
        Pairs of records of the same patient; true on the diagonal.
    temperature : float
        Divisor of the cosines.

    Examples
    --------
    >>> bool(clocs_loss(torch.eye(3)[:, None].expand(3, 2, 3), torch.eye(3).bool(), 0.1) < 0.001)
    True
    """
    views = F.normalize(views, dim=-1)
    cosine = einsum("bvd,cwd->vwbc", views, views)
    log_probability = torch.log_softmax(cosine / temperature, dim=-1)
    per_record = (log_probability * same).sum(-1) / same.sum(-1)  # (n_views, n_views, batch)
    return -intra_inter(per_record.mean(-1))[1]  # of different views


@_in_float32
def nt_xent_loss(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """SimCLR (Chen et al., ICML 2020): find the other view of a record among those of the batch.

    Parameters
    ----------
    first, second : Tensor of shape (batch, dim)
        Projections of two views, scaled to unit length here.
    temperature : float
        Divisor of the cosines.

    Examples
    --------
    >>> nt_xent_loss(torch.eye(3), torch.eye(3), temperature=0.1)
    tensor(0.0002)
    """
    views = F.normalize(torch.cat([first, second]), dim=-1)
    logits = (views @ views.T / temperature).fill_diagonal_(-torch.inf)
    other = torch.arange(len(views), device=views.device).roll(len(first))
    return F.cross_entropy(logits, other)


@_in_float32
def reconstruction_loss(
    x: Tensor, y: Tensor, scale: Tensor, slope_weight: float = 0.3
) -> tuple[Tensor, Tensor]:
    """Unexplained share of the variance of records, and of their slopes.

    Parameters
    ----------
    x, y : Tensor of shape (batch, n_channels, ...)
        Records or images, and their reconstructions.
    scale : Tensor of shape (n_channels, ...)
        Typical deviation of each channel. A thousandth of its square is added to each variance, so
        that flat records do not dominate.
    slope_weight : float, default=0.3
        Weight of the differences of neighbouring samples. At 0, short, steep waves are flattened.

    Returns
    -------
    loss, errors : Tensor of shape () and (n_channels,)
        Mean over records and channels; unexplained share of variance per channel, over records.

    Examples
    --------
    >>> x = torch.arange(100.0).view(1, 1, 100)
    >>> loss, errors = reconstruction_loss(x, x, scale=torch.ones(1))
    >>> loss, errors
    (tensor(0.), tensor([0.]))
    """
    axes = tuple(range(2, x.ndim))
    floor = 1e-3 * scale.square().flatten()  # (n_channels,)

    def unexplained(x, y):
        return (y - x).square().mean(axes) / (x.var(axes, correction=0) + floor)

    errors = unexplained(x, y).mean(0)
    loss = errors.mean()
    for axis in axes:
        if x.shape[axis] > 1:
            slopes = unexplained(x.diff(dim=axis), y.diff(dim=axis))
            loss = loss + slope_weight * slopes.mean()
    return loss, errors
