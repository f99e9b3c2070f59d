import pytest
import torch
from torch import nn

from sklearn_bell.nn.batch_norm import SharedBatchNorm1d, calibrate_batch_norm, fuse_conv_bn
from sklearn_bell.nn.encoders import JointEncoder, LeadwiseEncoder, ResNet1d, SharedEncoder, VGG1d

BatchNorm = nn.modules.batchnorm._BatchNorm


def count(module, kind):
    return sum(isinstance(layer, kind) for layer in module.modules())


# SharedBatchNorm1d; tests/training/test_distributed.py has several processes


def test_shared_batch_norm_of_one_process_equals_pytorch():
    norm, reference = SharedBatchNorm1d(3), nn.BatchNorm1d(3)
    x = torch.randn(9, 3)
    torch.testing.assert_close(norm(x), reference(x))
    torch.testing.assert_close(norm.state_dict(), reference.state_dict())


# calibrate_batch_norm


def test_calibration_averages_the_statistics_of_batches():
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).eval()
    batches = [5 + 2 * torch.randn(16, 4) for _ in range(3)]
    calibrate_batch_norm(module, batches)
    hidden = torch.stack([module[0](x) for x in batches])
    torch.testing.assert_close(module[1].running_mean, hidden.mean((0, 1)))
    torch.testing.assert_close(module[1].running_var, hidden.var(1).mean(0))
    assert not module.training
    assert module[1].momentum == 0.1


def test_calibration_without_running_statistics_reads_no_batch():
    calibrate_batch_norm(nn.BatchNorm1d(3, track_running_stats=False), iter([None]))


def test_calibration_restores_the_module_after_an_error():
    module = nn.BatchNorm1d(3).eval()
    with pytest.raises(ValueError, match="expected 2D or 3D input"):
        calibrate_batch_norm(module, [torch.zeros(2)])
    assert not module.training
    assert module.momentum == 0.1


# fuse_conv_bn


def trained(module, x):
    """Give batch normalisation weights and running statistics that matter."""
    for layer in module.modules():
        if isinstance(layer, BatchNorm) and layer.affine:
            nn.init.uniform_(layer.weight, -1, 2)
            nn.init.uniform_(layer.bias)
    module.train()(3 + 2 * x)
    return module


@pytest.mark.parametrize(
    "encoder",
    [
        LeadwiseEncoder([VGG1d(), VGG1d()]),
        SharedEncoder(ResNet1d()),
        JointEncoder(ResNet1d(in_channels=2)),
        nn.Sequential(nn.Conv1d(2, 3, 5), nn.BatchNorm1d(3, affine=False), nn.ReLU()),
    ],
    ids=["leadwise VGG", "shared ResNet", "joint ResNet", "not affine"],
)
def test_fused_copy_equals_the_module(encoder):
    x = torch.randn(6, 2, 200)
    n_norms = count(trained(encoder, x), BatchNorm)
    fused = fuse_conv_bn(encoder)
    assert count(fused, BatchNorm) == 0
    assert count(encoder, BatchNorm) == n_norms
    assert encoder.training
    with torch.no_grad():
        torch.testing.assert_close(fused(x), encoder.eval()(x), rtol=1e-4, atol=1e-5)


class Twice(nn.Sequential):
    """A container that does not call its layers in order."""

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
    ids=["no running statistics", "ReLU between", "other order", "subclass"],
)
def test_fusion_leaves_other_layers(module):
    x = torch.randn(6, 2, 20)
    trained(module, x)
    fused = fuse_conv_bn(module)
    assert count(fused, nn.BatchNorm1d) == 1
    torch.testing.assert_close(fused(x), module.eval()(x))


def test_fused_relu_does_not_change_the_input():
    module = nn.Sequential(nn.Identity(), nn.ReLU())
    x = torch.tensor([-1.0])
    fuse_conv_bn(module)(x)
    assert x == -1
