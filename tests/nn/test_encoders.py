import pytest
import torch

from sklearn_bell.nn.encoders import JointEncoder, LeadwiseEncoder, ResNet1d, SharedEncoder, VGG1d


def test_vgg_has_the_parameters_of_the_literature():
    assert sum(p.numel() for p in VGG1d().parameters()) == 78_216


def test_vgg_equals_the_same_layers_in_one_dimension():
    torch.manual_seed(0)
    encoder = VGG1d(in_channels=2).eval()
    x = torch.randn(3, 2, 77)
    y = x
    for layer in encoder.layers:
        if isinstance(layer, torch.nn.Conv2d):
            y = torch.nn.functional.conv1d(y, layer.weight[:, :, 0], layer.bias, padding=1)
        elif isinstance(layer, torch.nn.BatchNorm2d):
            y = torch.nn.functional.batch_norm(
                y, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps
            )
        elif isinstance(layer, torch.nn.ReLU):
            y = torch.relu(y)
        else:
            y = torch.nn.functional.max_pool1d(y, 2, ceil_mode=True)
    torch.testing.assert_close(encoder(x), y.mean(-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_samples", [1, 2, 31, 1000])
def test_vgg_takes_records_of_any_length(n_samples):
    assert VGG1d()(torch.zeros(2, 1, n_samples)).shape == (2, 64)


def test_every_lead_goes_through_its_own_branch():
    torch.manual_seed(0)
    branches = [VGG1d().eval() for _ in range(3)]
    x = torch.randn(4, 3, 64)
    latent = LeadwiseEncoder(branches)(x)
    for lead in range(3):
        assert torch.equal(latent[:, lead], branches[lead](x[:, [lead]]))


@pytest.mark.parametrize("n_samples", [1, 2, 31, 1000])
def test_resnet_takes_records_of_any_length(n_samples):
    assert ResNet1d(n_depths=3)(torch.zeros(2, 1, n_samples)).shape == (2, 16 + 32 + 64)


def test_the_last_depths_of_a_resnet_are_the_same_whatever_their_number():
    x = torch.randn(3, 2, 100)
    torch.manual_seed(0)
    one = ResNet1d(in_channels=2, n_depths=1).eval()
    torch.manual_seed(0)
    three = ResNet1d(in_channels=2, n_depths=3).eval()
    torch.testing.assert_close(three(x)[:, -64:], one(x))


def test_a_shared_encoder_equals_branches_of_the_same_weights():
    encoder = VGG1d().eval()
    x = torch.randn(4, 3, 64)
    expected = LeadwiseEncoder([encoder] * 3)(x)
    torch.testing.assert_close(SharedEncoder(encoder)(x), expected, rtol=1e-4, atol=1e-5)


def test_a_joint_encoder_sees_leads_as_channels():
    encoder = VGG1d(in_channels=3).eval()
    x = torch.randn(4, 3, 64)
    assert torch.equal(JointEncoder(encoder)(x)[:, 0], encoder(x))
