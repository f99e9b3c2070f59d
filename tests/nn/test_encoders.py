import numpy as np
import pytest
import torch

from sklearn_bell import BELLPretrainer
from sklearn_bell.datasets import make_ecg
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


@pytest.fixture(scope="module")
def trained():
    """An encoder of two leads, and records that are prepared for it."""
    X = make_ecg(24, leads=["II", "V1"], random_state=0).data
    prepare, encoder = BELLPretrainer(max_epochs=1, batch_size=8, random_state=0).fit(X).encoder_
    return encoder, prepare(torch.as_tensor(X, dtype=torch.float32))


@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")
@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks")
@pytest.mark.parametrize("target", [(0, 5), (1, 100)])
def test_encoder_deep_lift_is_complete(trained, target):
    from captum.attr import DeepLift

    encoder, x = trained
    baseline = torch.zeros_like(x)
    attributions = DeepLift(encoder).attribute(x, baseline, target=target)
    with torch.no_grad():
        change = (encoder(x) - encoder(baseline))[:, *target]
    torch.testing.assert_close(attributions.sum((1, 2)), change, rtol=1e-3, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
def test_encoder_deep_explainer_is_additive(trained):
    import shap

    encoder, x = trained
    model = torch.nn.Sequential(encoder, torch.nn.Flatten(), torch.nn.Linear(224, 3))
    values = shap.DeepExplainer(model, x[2:6]).shap_values(x[:2])
    assert values.shape == (*x[:2].shape, 3)  # (n_records, n_leads, n_samples, n_outputs)
    with torch.no_grad():
        change = model(x[:2]) - model(x[2:6]).mean(0)
    np.testing.assert_allclose(values.sum((1, 2)), change, rtol=1e-3, atol=1e-5)
