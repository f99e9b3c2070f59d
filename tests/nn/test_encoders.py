import numpy as np
import pytest
import torch

from sklearn_bell import BELLPretrainer
from sklearn_bell.datasets import make_ecg
from sklearn_bell.nn.augmentation import Compose, RandomCrop, TwoViews
from sklearn_bell.nn.encoders import (
    JointEncoder,
    LeadwiseEncoder,
    ResNet1d,
    SharedEncoder,
    VGG1d,
    latent_shape,
)


def test_vgg_has_the_parameters_of_the_literature():
    assert sum(p.numel() for p in VGG1d().parameters()) == 78_216


def test_vgg_equals_layers_in_one_dimension():
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
@pytest.mark.parametrize(("encoder", "n_features"), [(VGG1d, 64), (ResNet1d, 16 + 32 + 64)])
def test_encoder_accepts_records_of_any_length(encoder, n_features, n_samples):
    assert encoder()(torch.zeros(2, 1, n_samples)).shape == (2, n_features)


def test_resnet_depths_do_not_change_the_last_features():
    x = torch.randn(3, 2, 100)
    latents = []
    for n_depths in (1, 3):
        torch.manual_seed(0)
        latents.append(ResNet1d(in_channels=2, n_depths=n_depths).eval()(x))
    torch.testing.assert_close(latents[1][:, -64:], latents[0])


def test_last_layer_of_resnet_is_a_relu_of_standardised_averages():
    torch.manual_seed(0)
    encoder, x = ResNet1d(n_features=5), torch.randn(64, 1, 200)
    plain = ResNet1d()
    plain.load_state_dict({k: v for k, v in encoder.state_dict().items() if "last" not in k})
    averages = plain(x)
    z = (averages - averages.mean(0)) / (averages.var(0, correction=0) + 1e-5).sqrt()
    z = z @ encoder.last[1].weight.T
    expected = torch.relu((z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt())
    torch.testing.assert_close(encoder(x), expected, rtol=1e-3, atol=1e-4)


def test_leadwise_encoder_gives_each_lead_its_branch():
    torch.manual_seed(0)
    branches = [VGG1d().eval() for _ in range(3)]
    x = torch.randn(4, 3, 64)
    expected = [branch(x[:, [lead]]) for lead, branch in enumerate(branches)]
    assert torch.equal(LeadwiseEncoder(branches)(x), torch.stack(expected, dim=1))


def test_shared_encoder_equals_branches_with_equal_weights():
    encoder = VGG1d().eval()
    x = torch.randn(4, 3, 64)
    expected = LeadwiseEncoder([encoder] * 3)(x)
    torch.testing.assert_close(SharedEncoder(encoder)(x), expected, rtol=1e-4, atol=1e-5)


def test_joint_encoder_takes_leads_as_channels():
    encoder = VGG1d(in_channels=3).eval()
    x = torch.randn(4, 3, 64)
    assert torch.equal(JointEncoder(encoder)(x)[:, 0], encoder(x))


@pytest.mark.parametrize("augmentation", [RandomCrop(0.1), TwoViews(RandomCrop(0.1)), Compose()])
def test_latent_shape_tries_views_of_any_form(augmentation):
    encoder = LeadwiseEncoder([ResNet1d() for _ in range(3)])
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    assert latent_shape(encoder, augmentation, 3, 200) == (3, 112)
    torch.testing.assert_close(dict(encoder.state_dict()), state)


class Averages(torch.nn.Module):
    def forward(self, x):
        return x.unfold(-1, 100, 100).mean((2, 3))


class Pair(torch.nn.Module):
    def forward(self, x):
        return x.mean(-1), x


@pytest.mark.parametrize(
    ("encoder", "augmentation", "message"),
    [
        (Averages(), lambda x, generator: x[:, :1], "to keep records and leads"),
        (Averages(), RandomCrop(0.2), r"records of 200 samples or views of 40 samples.*Compose"),
        (torch.nn.Flatten(0), Compose(), r"Expected encoder to map .*float32 of shape \(1200,\)"),
        (Pair(), Compose(), "Expected encoder to map .* got <class 'tuple'>"),
    ],
    ids=["augmentation drops leads", "view is too short", "latent without records", "two outputs"],
)
def test_latent_shape_rejects_misfits(encoder, augmentation, message):
    with pytest.raises(ValueError, match=message):
        latent_shape(encoder, augmentation, 3, 200)


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
