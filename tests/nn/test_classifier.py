"""The loss of fine-tuning equals that of PyTorch, and is linear in probabilities."""

import torch
import torch.nn.functional as F
from torch import nn

from sklearn_bell._utils.labels import weighted_targets
from sklearn_bell.nn.classifier import FineTuning

LOGITS = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))


def learner(multilabel):
    return FineTuning(nn.Identity(), nn.Identity(), 4, 3, nn.Identity(), 0.0, multilabel)


def targets(codes, weights):
    return torch.from_numpy(weighted_targets(codes.numpy(), weights.numpy()))


def test_one_class_of_several():
    weights, codes = torch.tensor([1.0, 2.0, 0.5]), torch.arange(20) % 3
    expected = F.cross_entropy(LOGITS, codes, weights)
    torch.testing.assert_close(learner(False).loss(LOGITS, targets(codes, weights)), expected)


def test_several_labels():
    weights = torch.tensor([[1.0, 2.0, 0.5], [3.0, 1.0, 1.0]])
    codes = torch.stack([torch.arange(20) % n == 0 for n in (2, 3, 4)], dim=1).long()
    of_codes = torch.where(codes == 1, weights[1], weights[0])
    expected = F.binary_cross_entropy_with_logits(LOGITS, codes.float(), of_codes)
    torch.testing.assert_close(learner(True).loss(LOGITS, targets(codes, weights)), expected)


def test_probabilities_count_as_shares_of_labels():
    first, second = (F.one_hot(torch.arange(k, 20 + k) % 3).float() for k in (0, 1))
    mixed = 0.3 * first + 0.7 * second
    losses = [learner(False).loss(LOGITS, codes) for codes in (first, second, mixed)]
    torch.testing.assert_close(losses[2], 0.3 * losses[0] + 0.7 * losses[1])
    weights = torch.tensor([[1.0, 2, 3], [4, 5, 6]])
    losses = [
        learner(True).loss(LOGITS, targets(codes, weights)) for codes in (first, second, mixed)
    ]
    torch.testing.assert_close(losses[2], 0.3 * losses[0] + 0.7 * losses[1])
