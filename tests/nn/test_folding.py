"""What is fuse_conv_bn computes the same with fewer layers."""

import pytest
import torch
from torch import nn

from sklearn_bell.nn.encoders import JointEncoder, LeadwiseEncoder, ResNet1d, SharedEncoder, VGG1d
from sklearn_bell.nn.folding import fuse_conv_bn


def trained(module, x):
    """Let batch normalisation see something, so that it does something."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.affine:
            nn.init.uniform_(part.weight, -1, 2)
            nn.init.uniform_(part.bias)
    module.train()(3 + 2 * x)
    return module


def count(module, kind):
    return sum(isinstance(part, kind) for part in module.modules())


@pytest.mark.parametrize(
    "encoder",
    [
        LeadwiseEncoder([VGG1d(), VGG1d()]),
        SharedEncoder(ResNet1d()),
        JointEncoder(ResNet1d(in_channels=2)),
        nn.Sequential(nn.Conv1d(2, 3, 5), nn.BatchNorm1d(3, affine=False), nn.ReLU()),
    ],
)
def test_the_same_comes_out_without_batch_normalisation(encoder):
    x = torch.randn(6, 2, 200)
    trained(encoder, x)
    fast = fuse_conv_bn(encoder)
    assert count(encoder, nn.modules.batchnorm._BatchNorm) > 0  # which is left as it was
    assert count(fast, nn.modules.batchnorm._BatchNorm) == 0
    assert encoder.training
    with torch.no_grad():
        torch.testing.assert_close(fast(x), encoder.eval()(x), rtol=1e-4, atol=1e-5)


class Twice(nn.Sequential):
    """Not what its order says."""

    def forward(self, x):
        return self[1](self[0](self[0](x)))


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Conv1d(2, 2, 1), nn.BatchNorm1d(2, track_running_stats=False)),
        nn.Sequential(nn.Conv1d(2, 2, 1), nn.ReLU(), nn.BatchNorm1d(2)),
        nn.Sequential(nn.BatchNorm1d(2), nn.Conv1d(2, 2, 1)),
        Twice(nn.Conv1d(2, 2, 1), nn.BatchNorm1d(2)),
    ],
)
def test_what_is_not_one_after_the_other_stays(module):
    x = torch.randn(6, 2, 20)
    trained(module, x)
    fast = fuse_conv_bn(module)
    assert count(fast, nn.BatchNorm1d) == 1
    torch.testing.assert_close(fast(x), module.eval()(x))
