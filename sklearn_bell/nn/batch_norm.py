"""Batch normalisation over the records of all processes that train together."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn

__all__ = ["SharedBatchNorm1d"]


class _SumOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x = x.contiguous().clone()
        distributed.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, gradient):
        return _SumOverProcesses.forward(ctx, gradient)


class SharedBatchNorm1d(nn.BatchNorm1d):
    """``nn.BatchNorm1d`` whose batch is that of several processes, on CPUs, too.

    Attributes
    ----------
    n_processes : int
        How many there are; with 1 it is ``nn.BatchNorm1d``.

    Examples
    --------
    >>> x = SharedBatchNorm1d(3)(torch.arange(12.0).view(4, 3))
    >>> x.mean(0).abs().max() < 1e-6
    tensor(True)
    """

    n_processes = 1
    momentum: float
    num_batches_tracked: Tensor
    running_mean: Tensor
    running_var: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(batch, n_features)``, or each of ``(n_batches, batch, n_features)``.

        Sums of several batches are one message: processes wait for each.
        """
        if x.ndim == 2:
            return self.forward(x[None])[0]
        if self.n_processes == 1 or not self.training:
            return torch.stack([super(SharedBatchNorm1d, self).forward(batch) for batch in x])
        dtype, x = x.dtype, x.float()
        sums = torch.cat([x.sum(1), x.square().sum(1), x.new_full((len(x), 1), x.shape[1])], dim=1)
        sums = _SumOverProcesses.apply(sums)
        n = sums[:, -1:].detach()
        means, squares = (sums[:, :-1] / n).chunk(2, dim=1)
        variances = (squares - means.square()).clamp(min=0)
        with torch.no_grad():
            self.num_batches_tracked += len(x)
            for mean, variance in zip(means, variances * n / (n - 1), strict=True):
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance, self.momentum)
        scale = (variances + self.eps).rsqrt() * self.weight
        x = (x - means[:, None]) * scale[:, None] + self.bias
        return x.to(dtype)
