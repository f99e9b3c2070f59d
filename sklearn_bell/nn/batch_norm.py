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
    """

    n_processes = 1
    momentum: float
    num_batches_tracked: Tensor
    running_mean: Tensor
    running_var: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(batch, n_features)``."""
        if self.n_processes == 1 or not self.training:
            return super().forward(x)
        dtype, x = x.dtype, x.float()
        sums = torch.cat([x.sum(0), x.square().sum(0), len(x) * x.new_ones(1)])
        sums = _SumOverProcesses.apply(sums)
        n = sums[-1].detach()
        mean, square = (sums[:-1] / n).chunk(2)
        variance = (square - mean.square()).clamp(min=0)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        x = (x - mean) * (variance + self.eps).rsqrt() * self.weight + self.bias
        return x.to(dtype)
