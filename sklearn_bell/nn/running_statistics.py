"""What batch normalisation of an encoder that was not trained has to know of the records."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["calibrate_batch_norm"]


@torch.no_grad()
def calibrate_batch_norm(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the running means and variances of batch normalisation to averages over batches.

    Without it a new network takes its own layers for zero mean and unit variance, which they are
    not, until it is trained: an untrained encoder would be held against others at a disadvantage,
    and its latents would change at once when training begins.

    Parameters
    ----------
    module : nn.Module
        Stays in the mode in which it was.
    batches : iterable of Tensor
        What the module takes, each of two records at least.

    Examples
    --------
    >>> norm = nn.BatchNorm1d(1)
    >>> batches = torch.tensor([[1.0], [3.0]]), torch.tensor([[4.0], [6.0]])
    >>> calibrate_batch_norm(norm, batches)
    >>> norm.running_mean, norm.running_var
    (tensor([3.5000]), tensor([2.]))
    """
    norms = [
        one
        for one in module.modules()
        if isinstance(one, nn.modules.batchnorm._BatchNorm) and one.track_running_stats
    ]
    if not norms:
        return
    momenta, training = [one.momentum for one in norms], module.training
    for one in norms:
        one.reset_running_stats()
        one.momentum = None  # plain averages
    try:
        module.train()
        for batch in batches:
            module(batch)
    finally:
        module.train(training)
        for one, momentum in zip(norms, momenta, strict=True):
            one.momentum = momentum
