"""Batch normalisation: shared between processes, calibrated without training, fused."""

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

    Examples
    --------
    >>> SharedBatchNorm1d(2)(torch.randn(4, 2)).shape
    torch.Size([4, 2])
    """

    n_processes = 1  # set to the number of processes that train together
    momentum: float
    num_batches_tracked: Tensor
    running_mean: Tensor
    running_var: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(batch, n_features)``."""
        if self.n_processes == 1 or not self.training:
            return super().forward(x)
        dtype, x = x.dtype, x.float()
        sums = torch.cat([x.sum(0), x.square().sum(0), x.new_full((1,), len(x))])
        sums = _AllReduceSum.apply(sums)
        n = sums[-1].detach()
        mean, mean_square = (sums[:-1] / n).chunk(2)
        variance = (mean_square - mean.square()).clamp(min=0)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        scale = (variance + self.eps).rsqrt() * self.weight
        return ((x - mean) * scale + self.bias).to(dtype)


@torch.no_grad()
def calibrate_batch_norm(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set running means and variances of batch normalisation to averages over batches.

    Without it, an untrained network assumes zero mean and unit variance in each layer, and its
    latents cannot be compared with those of a trained one. Batches are inputs of the module, of at
    least two records each. The training mode stays.

    Examples
    --------
    >>> norm = nn.BatchNorm1d(1)
    >>> calibrate_batch_norm(norm, [torch.tensor([[1.0], [3.0]]), torch.tensor([[4.0], [6.0]])])
    >>> norm.running_mean, norm.running_var
    (tensor([3.5000]), tensor([2.]))
    """
    batch_norm = nn.modules.batchnorm._BatchNorm
    norms = [layer for layer in module.modules() if isinstance(layer, batch_norm)]
    norms = [norm for norm in norms if norm.track_running_stats]
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
    >>> fuse_conv_bn(nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2)))[1]
    Identity()
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
