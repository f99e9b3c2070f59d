"""Losses of self-supervised learning, as functions of tensors."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, einsum

__all__ = [
    "barlow_twins_lead_loss",
    "clocs_loss",
    "fuse",
    "intra_inter",
    "lead_distances",
    "nt_xent_loss",
    "reconstruction_loss",
]


def _in_float32(loss):
    """Let a loss compute in float32 what comes in less: means over a batch need the digits."""

    @functools.wraps(loss)
    def in_float32(*args, **kwargs):
        args = tuple(_at_least_float32(one) for one in args)
        kwargs = {name: _at_least_float32(one) for name, one in kwargs.items()}
        device = next(x.device for x in (*args, *kwargs.values()) if isinstance(x, Tensor))
        with torch.autocast(device.type, enabled=False):
            return loss(*args, **kwargs)

    return in_float32


def _at_least_float32(x):
    if isinstance(x, Tensor) and x.dtype in (torch.float16, torch.bfloat16):
        return x.float()
    return x


@_in_float32
def lead_distances(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared distance between the predictions and targets of every pair of leads.

    Parameters
    ----------
    prediction, target : Tensor of shape (batch, n_leads, dim)
        Scaled to unit length here. The target receives no gradient.

    Returns
    -------
    distances : Tensor of shape (n_leads, n_leads)
        ``distances[i, j]`` is the mean over the batch of ``2 - 2 cos`` between what lead i predicts
        and the target of lead j, in [0, 4].

    References
    ----------
    Grill JB, et al. Bootstrap your own latent. NeurIPS 2020, equation 2.

    Examples
    --------
    >>> prediction = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    >>> lead_distances(prediction, -prediction)
    tensor([[4., 2.],
            [2., 4.]])
    """
    p, z = F.normalize(prediction, dim=-1), F.normalize(target.detach(), dim=-1)
    return 2 - 2 * einsum("bid,bjd->ij", p, z) / len(p)


def intra_inter(distances: Tensor) -> tuple[Tensor, Tensor]:
    """Mean within leads and mean between different leads of a lead-by-lead matrix.

    Parameters
    ----------
    distances : Tensor of shape (n_leads, n_leads)
        For instance of `lead_distances`.

    Returns
    -------
    intra, inter : scalar Tensor
        Mean of the diagonal and of the rest; `inter` is zero for one lead.

    Examples
    --------
    >>> import torch
    >>> intra_inter(torch.tensor([[1.0, 3.0], [5.0, 1.0]]))
    (tensor(1.), tensor(4.))
    """
    n_leads = len(distances)
    trace = distances.trace()
    return trace / n_leads, (distances.sum() - trace) / max(n_leads * (n_leads - 1), 1)


def fuse(distances: Tensor, gamma: float) -> dict[str, Tensor]:
    """Return the terms of a lead-by-lead matrix, and their fusion as the loss.

    Parameters
    ----------
    distances : Tensor of shape (n_leads, n_leads)
        For instance of `lead_distances`.
    gamma : float
        Weight of the mean within leads; the mean between leads has the rest. One lead has no other,
        so that there the first is all.

    Returns
    -------
    terms : dict of scalar Tensor
        ``"loss"``, ``"intra"`` and ``"inter"``.

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
    """Barlow Twins' loss of every pair of leads, divided by the number of features.

    Parameters
    ----------
    first, second : Tensor of shape (batch, n_leads, dim)
        Projections of two views.
    trade_off : float, default=0.005
        Weight of what different features share.

    Returns
    -------
    redundancies : Tensor of shape (n_leads, n_leads)
        For lead i of the first view and lead j of the second, with c their matrix of correlations
        over the batch: the mean over features of ``(1 - c[a, a]) ** 2``, plus `trade_off` times the
        sum of the other ``c[a, b] ** 2`` over the number of features.

    References
    ----------
    Zbontar J, Jing L, Misra I, LeCun Y, Deny S. Barlow Twins: self-supervised learning via
    redundancy reduction. ICML 2021.

    Examples
    --------
    >>> z = torch.randn(1000, 1, 4, generator=torch.Generator().manual_seed(0))
    >>> bool(barlow_twins_lead_loss(z, z) < 0.001 < barlow_twins_lead_loss(z, -z))
    True
    """
    first, second = ((z - z.mean(0)) / (z.std(0, correction=0) + 1e-6) for z in (first, second))
    correlation = einsum("bia,bjc->ijac", first, second) / len(first)
    same = correlation.diagonal(dim1=2, dim2=3)  # (n_leads, n_leads, dim)
    others = correlation.square().sum((2, 3)) - same.square().sum(2)
    return ((1 - same).square().sum(2) + trade_off * others) / first.shape[-1]


@_in_float32
def clocs_loss(views: Tensor, same: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding, among the records of another view, those of the same patient.

    Parameters
    ----------
    views : Tensor of shape (batch, n_views, dim)
        What is compared: scaled to unit length here.
    same : bool Tensor of shape (batch, batch)
        Whether two records are of the same patient; true on the diagonal.
    temperature : float
        By which the cosines are divided.

    Returns
    -------
    loss : scalar Tensor
        Mean over records, and over ordered pairs of different views, of minus the mean logarithm of
        the probabilities of the right ones.

    References
    ----------
    Kiyasseh D, Zhu T, Clifton DA. CLOCS: contrastive learning of cardiac signals across space,
    time, and patients. ICML 2021.

    Examples
    --------
    >>> views = torch.eye(3)[:, None].expand(3, 2, 3)
    >>> bool(clocs_loss(views, torch.eye(3, dtype=torch.bool), temperature=0.1) < 0.001)
    True
    """
    views = F.normalize(views, dim=-1)
    cosine = einsum("bvd,cwd->vwbc", views, views)
    log_share = torch.log_softmax(cosine / temperature, dim=-1)
    right = (log_share * same).sum(-1) / same.sum(-1)  # (n_views, n_views, batch)
    of_pairs = right.mean(-1)
    n_views = len(of_pairs)
    return -(of_pairs.sum() - of_pairs.trace()) / (n_views * (n_views - 1))


@_in_float32
def nt_xent_loss(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """SimCLR's cross-entropy of finding the other view of a record among all views of the batch.

    Parameters
    ----------
    first, second : Tensor of shape (batch, dim)
        Projections of two views, scaled to unit length here.
    temperature : float
        By which the cosines are divided.

    Returns
    -------
    loss : scalar Tensor

    References
    ----------
    Chen T, Kornblith S, Norouzi M, Hinton G. A simple framework for contrastive learning of visual
    representations. ICML 2020.

    Examples
    --------
    >>> bool(nt_xent_loss(torch.eye(3), torch.eye(3), temperature=0.1) < 0.001)
    True
    """
    views = F.normalize(torch.cat([first, second]), dim=-1)
    logits = (views @ views.T / temperature).fill_diagonal_(-torch.inf)
    other = torch.arange(len(views), device=views.device).roll(len(first))
    return F.cross_entropy(logits, other)


@_in_float32
def reconstruction_loss(
    x: Tensor, y: Tensor, scale: Tensor, slope_weight: float = 0.3
) -> tuple[Tensor, Tensor]:
    """How much of records does not come back, in proportion to how much there is.

    Parameters
    ----------
    x, y : Tensor of shape (batch, n_channels, ...)
        Records, or images, and what came back.
    scale : Tensor of shape (n_channels, ...)
        Usual deviation of each channel. A thousandth of its square is added to what there is, so
        that what is flat does not weigh more than all else.
    slope_weight : float, default=0.3
        Weight of the differences between neighbouring samples, in proportion to those of x: steep
        waves are short, and would be flattened for the sake of slow ones.

    Returns
    -------
    loss : Tensor of shape ()
        Mean over records and channels.
    errors : Tensor of shape (n_channels,)
        By channel, the mean over records of the part of the variance that does not come back.

    Examples
    --------
    >>> x = torch.randn(4, 2, 100, generator=torch.Generator().manual_seed(0))
    >>> loss, errors = reconstruction_loss(x, torch.zeros_like(x), torch.ones(2))
    >>> errors.round(decimals=1)
    tensor([1., 1.])
    """
    axes = tuple(range(2, x.ndim))
    least = 1e-3 * scale.square().flatten()  # (n_channels,)

    def lost(x, y):
        return (y - x).square().mean(axes) / (x.var(axes, correction=0) + least)

    errors = lost(x, y).mean(0)
    loss = errors.mean()
    for axis in axes:
        if x.shape[axis] > 1:
            loss = loss + slope_weight * lost(x.diff(dim=axis), y.diff(dim=axis)).mean()
    return loss, errors
