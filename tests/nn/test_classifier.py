"""The loss of the classifier equals that of PyTorch and is linear in probabilities."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sklearn_bell._utils.labels import weighted_targets
from sklearn_bell.nn.classifier import ClassifierModule

LOGITS = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))


def loss(targets, multilabel):
    module = ClassifierModule(nn.Identity(), nn.Identity(), 4, 3, nn.Identity(), 0.0, multilabel)
    return module.loss(LOGITS, targets)


def make_targets(codes, weights):
    return torch.from_numpy(weighted_targets(codes.numpy(), weights.numpy()))


def test_multiclass_loss_equals_cross_entropy():
    weights, codes = torch.tensor([1.0, 2.0, 0.5]), torch.arange(20) % 3
    expected = F.cross_entropy(LOGITS, codes, weights)
    torch.testing.assert_close(loss(make_targets(codes, weights), False), expected)


def test_multilabel_loss_equals_binary_cross_entropy():
    weights = torch.tensor([[1.0, 2.0, 0.5], [3.0, 1.0, 1.0]])
    codes = torch.stack([torch.arange(20) % n == 0 for n in (2, 3, 4)], dim=1).long()
    weights_of_codes = torch.where(codes == 1, weights[1], weights[0])
    expected = F.binary_cross_entropy_with_logits(LOGITS, codes.float(), weights_of_codes)
    torch.testing.assert_close(loss(make_targets(codes, weights), True), expected)


@pytest.mark.parametrize("multilabel", [False, True])
def test_loss_is_zero_if_all_weights_are(multilabel):
    assert loss(torch.zeros(20, 3, 2) if multilabel else torch.zeros(20, 3), multilabel) == 0


@pytest.mark.parametrize("multilabel", [False, True])
def test_loss_is_linear_in_probabilities(multilabel):
    first, second = (F.one_hot(torch.arange(k, 20 + k) % 3).float() for k in (0, 1))
    targets = [first, second, 0.3 * first + 0.7 * second]
    if multilabel:
        weights = torch.tensor([[1.0, 2, 3], [4, 5, 6]])
        targets = [make_targets(probabilities, weights) for probabilities in targets]
    losses = [loss(target, multilabel) for target in targets]
    torch.testing.assert_close(losses[2], 0.3 * losses[0] + 0.7 * losses[1])


def test_frozen_encoder_stays_in_evaluation_mode():
    encoder = nn.BatchNorm1d(4)
    module = ClassifierModule(nn.Identity(), encoder, 4, 3, nn.Identity(), 0.0, False)
    module.freeze(True)
    assert not module.train().encoder.training
    assert not encoder.weight.requires_grad
    module.freeze(False)
    assert module.train().encoder.training
    assert encoder.weight.requires_grad
