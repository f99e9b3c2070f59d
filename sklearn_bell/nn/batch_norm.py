"""Batch normalisation: shared between processes, calibrated without training, fused."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["SharedBatchNorm1d", "calibrate_batch_norm", "fuse_conv_bn"]

Module = TypeVar("Module", bound=nn.Module)
_FUSIBLE = ((nn.Conv1d, nn.BatchNorm1d), (nn.Conv2d, nn.BatchNorm2d))


class _AllReduceSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x = x.contiguous().clone()
        distributed.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, gradient):
        return _AllReduceSum.forward(ctx, gradient)


class SharedBatchNorm1d(nn.BatchNorm1d):
    """``nn.BatchNorm1d`` over the batches of all processes, on CPUs and GPUs.

    Attributes
    ----------
    n_processes : int
        Number of processes; with 1 it equals ``nn.BatchNorm1d``.

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

        Several batches share one message between processes.
        """
        if x.ndim == 2:
            return self.forward(x[None])[0]
        if self.n_processes == 1 or not self.training:
            return torch.stack([super(SharedBatchNorm1d, self).forward(batch) for batch in x])
        dtype, x = x.dtype, x.float()
        sums = torch.cat([x.sum(1), x.square().sum(1), x.new_full((len(x), 1), x.shape[1])], dim=1)
        sums = _AllReduceSum.apply(sums)
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


@torch.no_grad()
def calibrate_batch_norm(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set running means and variances of batch normalisation to averages over batches.

    Without it, an untrained network assumes zero mean and unit variance in each layer, and its
    latents cannot be compared with those of a trained one. The training mode stays.

    Parameters
    ----------
    module : nn.Module
    batches : iterable of Tensor
        Inputs of the module, of at least two records each.

    Examples
    --------
    >>> norm = nn.BatchNorm1d(1)
    >>> batches = torch.tensor([[1.0], [3.0]]), torch.tensor([[4.0], [6.0]])
    >>> calibrate_batch_norm(norm, batches)
    >>> norm.running_mean, norm.running_var
    (tensor([3.5000]), tensor([2.]))
    """
    norms = [
        layer
        for layer in module.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.track_running_stats
    ]
    if not norms:
        return
    momenta, training = [norm.momentum for norm in norms], module.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
    try:
        module.train()
        for batch in batches:
            module(batch)
    finally:
        module.train(training)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def fuse_conv_bn(module: Module) -> Module:
    """Return a faster copy for inference, with equal outputs up to rounding.

    In each ``nn.Sequential``, batch normalisation is fused into the convolution before it.

    Examples
    --------
    >>> fuse_conv_bn(nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2)))
    Sequential(
      (0): Conv1d(1, 2, kernel_size=(3,), stride=(1,))
      (1): Identity()
    )
    """
    module = copy.deepcopy(module).eval()
    for block in list(module.modules()):
        if type(block) is not nn.Sequential:  # a subclass may call its layers in another order
            continue
        for (name, layer), (next_name, following) in pairwise(list(block._modules.items())):
            if (type(layer), type(following)) in _FUSIBLE and following.running_mean is not None:
                block._modules[name] = fuse_conv_bn_eval(layer, following)  # type: ignore[type-var,arg-type]
                block._modules[next_name] = nn.Identity()
            elif type(following) is nn.ReLU and block._modules[name] is not layer:
                block._modules[next_name] = nn.ReLU(inplace=True)  # nothing else reads its input
    return module
