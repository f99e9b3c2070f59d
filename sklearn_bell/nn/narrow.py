"""Layers of few channels, for which PyTorch's own are slow on CPUs in channels-last format.

Its kernels work on many channels side by side: of eight they take as long as of sixty-four. But in
memory the channels of a sample are followed by those of the next, so that several samples can be
taken for one with as many more channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["NarrowBatchNorm2d", "PairwiseMaxPool"]

_FEW, _MANY = 16, 64  # channels: fewer are slow, and so many are fast


class NarrowBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d``, and faster in training on a CPU where there are fewer than 16 channels.

    Examples
    --------
    >>> x = torch.randn(4, 8, 1, 100).to(memory_format=torch.channels_last)
    >>> torch.testing.assert_close(NarrowBatchNorm2d(8)(x), nn.BatchNorm2d(8)(x))
    """

    momentum: float | None
    num_batches_tracked: Tensor
    running_mean: Tensor
    running_var: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(batch, n_channels, 1, n_samples)``."""
        n_folds = self._n_folds(x) if self.training and x.device.type == "cpu" else 1
        if n_folds == 1:
            return super().forward(x)
        y, mean, variance = _FoldedBatchNorm.apply(x, self.weight, self.bias, self.eps, n_folds)
        with torch.no_grad():
            self.num_batches_tracked += 1
            count = float(self.num_batches_tracked)
            momentum = 1 / count if self.momentum is None else self.momentum
            n = x.numel() / len(mean)
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * n / (n - 1), momentum)
        return y

    def _n_folds(self, x):
        """Return how many samples are taken for one."""
        n_channels = x.shape[1]
        usual = self.affine and self.track_running_stats
        if (
            not usual
            or n_channels >= _FEW
            or not x.is_contiguous(memory_format=torch.channels_last)
        ):
            return 1
        n_folds = -(-_MANY // n_channels)
        while (x.numel() // n_channels) % n_folds:
            n_folds -= 1
        return n_folds


class _FoldedBatchNorm(torch.autograd.Function):
    """Batch normalisation of samples taken several for one, and its means and variances."""

    @staticmethod
    def forward(ctx, x, weight, bias, eps, n_folds):
        wide = _widened(x, n_folds)
        of_float32 = weight.new_zeros(wide.shape[1])  # or else those of bfloat16 lose digits
        means, variances = (
            one.view(n_folds, -1)
            for one in torch.batch_norm_update_stats(wide, of_float32, of_float32.clone(), 0.0)
        )
        mean = means.mean(0)
        variance = variances.mean(0) + means.var(0, correction=0)
        ctx.save_for_backward(wide, weight, mean, variance)
        ctx.eps, ctx.shape, ctx.n_folds = eps, x.shape, n_folds
        ctx.mark_non_differentiable(mean, variance)
        y = torch.empty_like(x)  # no view, so that it can be written to
        torch.ops.aten.native_batch_norm.out(
            wide,
            *(one.repeat(n_folds) for one in (weight, bias, mean, variance)),
            training=False,
            momentum=0.0,
            eps=eps,
            out=_widened(y, n_folds),
            save_mean=weight.new_empty(0),
            save_invstd=weight.new_empty(0),
        )
        return y, mean, variance

    @staticmethod
    def backward(ctx, gradient, *_):
        wide, weight, mean, variance = ctx.saved_tensors
        gradient = _widened(gradient.contiguous(memory_format=torch.channels_last), ctx.n_folds)
        repeated = (one.repeat(ctx.n_folds) for one in (weight, mean, variance))
        _, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, wide, *repeated, None, None, False, ctx.eps, [False, True, True]
        )
        of_weight, of_bias = (one.view(ctx.n_folds, -1).sum(0) for one in (of_weight, of_bias))
        n, deviation = wide.numel() / len(mean), (variance + ctx.eps).sqrt()
        # of the input: a linear function of it and of the gradient, in each channel
        by_gradient = weight / deviation
        by_input = -by_gradient * of_weight / (n * deviation)
        constant = -by_gradient * of_bias / n - by_input * mean
        by_gradient, by_input, constant = (
            one.to(wide.dtype).repeat(ctx.n_folds).view(1, -1, 1, 1)
            for one in (by_gradient, by_input, constant)
        )
        of_input = torch.addcmul(constant, wide, by_input).addcmul_(gradient, by_gradient)
        return _narrowed(of_input, ctx.shape), of_weight, of_bias, None, None


def _widened(x, n_folds):
    """Return ``(1, n_folds * n_channels, 1, -1)`` of what is channels-last."""
    rows = x.permute(0, 2, 3, 1).reshape(1, 1, -1, n_folds * x.shape[1])
    return rows.permute(0, 3, 1, 2)


def _narrowed(x, shape):
    n_records, n_channels, *size = shape
    return x.permute(0, 2, 3, 1).reshape(n_records, *size, n_channels).permute(0, 3, 1, 2)


class PairwiseMaxPool(nn.Module):
    """``nn.MaxPool2d((1, 2), ceil_mode=True)``, and faster where no gradient is wanted.

    Examples
    --------
    >>> PairwiseMaxPool()(torch.tensor([[[[1.0, 3.0, 2.0]]]]))
    tensor([[[[3., 2.]]]])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Halve the length of ``(batch, n_channels, 1, n_samples)``."""
        if torch.is_grad_enabled() and x.requires_grad:
            return nn.functional.max_pool2d(x, (1, 2), ceil_mode=True)
        n_pairs = x.shape[-1] // 2
        larger = torch.maximum(x[..., : 2 * n_pairs : 2], x[..., 1::2])
        return torch.cat([larger, x[..., 2 * n_pairs :]], dim=-1) if x.shape[-1] % 2 else larger
