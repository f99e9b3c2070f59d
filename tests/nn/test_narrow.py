import copy

import pytest
import torch
from torch import nn

from sklearn_bell.nn.narrow import NarrowBatchNorm2d, PairwiseMaxPool

SHAPES = [(4, 8, 1, 100), (3, 8, 1, 77), (2, 3, 1, 64), (5, 1, 1, 40), (2, 16, 1, 50), (7, 8, 1, 1)]


def records(shape, dtype=torch.float32):
    x = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(0)) + 1
    return x.to(dtype=dtype, memory_format=torch.channels_last).requires_grad_()


def both(n_channels):
    torch.manual_seed(1)
    usual = nn.BatchNorm2d(n_channels)
    nn.init.normal_(usual.weight)
    nn.init.normal_(usual.bias)
    ours = NarrowBatchNorm2d(n_channels)
    ours.load_state_dict(copy.deepcopy(usual.state_dict()))
    return usual, ours


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("momentum", [0.1, 0.0, None])
def test_batch_normalisation_is_that_of_pytorch(shape, momentum):
    usual, ours = both(shape[1])
    usual.momentum = ours.momentum = momentum
    for seed in range(3):
        x = records(shape)
        towards = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        found = []
        for norm in (usual, ours):
            y = norm(x)
            inputs = [x, norm.weight, norm.bias]
            found.append((y, *torch.autograd.grad(y, inputs, towards)))
        torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(ours.state_dict(), usual.state_dict())


def test_its_gradient_is_that_of_differences():
    x = records((2, 4, 1, 8), torch.float64)
    norm = NarrowBatchNorm2d(4).double()
    assert norm._n_folds(x) > 1
    assert torch.autograd.gradcheck(norm, x, fast_mode=True)


def test_in_bfloat16_it_is_as_near_to_float32_as_that_of_pytorch():
    usual, ours = both(8)
    exact = usual(records((4, 8, 1, 100)))
    x = records((4, 8, 1, 100), torch.bfloat16)
    off = [(norm(x).float() - exact).abs().max() for norm in (usual, ours)]
    assert off[1] <= 1.5 * off[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_evaluation_and_other_memory_formats_are_left_to_pytorch(shape):
    usual, ours = both(shape[1])
    x = records(shape).detach()
    torch.testing.assert_close(ours(x.contiguous()), usual(x.contiguous()))
    torch.testing.assert_close(ours.eval()(x), usual.eval()(x))
    without = NarrowBatchNorm2d(shape[1], affine=False, track_running_stats=False)
    plain = nn.BatchNorm2d(shape[1], affine=False, track_running_stats=False)
    torch.testing.assert_close(without(x), plain(x))


@pytest.mark.parametrize("shape", SHAPES)
def test_pooling_is_that_of_pytorch(shape):
    usual, ours, x = nn.MaxPool2d((1, 2), ceil_mode=True), PairwiseMaxPool(), records(shape)
    assert torch.equal(ours(x.detach()), usual(x))
    assert torch.equal(ours(x), usual(x))
    assert ours(x).requires_grad
    if shape[-1] > 1:
        x = x.detach().clone(memory_format=torch.preserve_format)
        x[0, 0, 0, 1] = torch.nan  # is not hidden
        assert torch.equal(ours(x).isnan(), usual(x).isnan())
