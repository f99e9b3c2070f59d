"""The loss of fine-tuning equals that of PyTorch, and is linear in probabilities."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sklearn_bell.nn.fine_tuning import FineTuning

LOGITS = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))


def learner(weights):
    return FineTuning(nn.Identity(), nn.Identity(), 4, 3, nn.Identity(), 0.0, weights)


def test_one_class_of_several():
    weights, codes = torch.tensor([1.0, 2.0, 0.5]), torch.arange(20) % 3
    expected = F.cross_entropy(LOGITS, codes, weights)
    for given in (codes, F.one_hot(codes), F.one_hot(codes).float()):
        torch.testing.assert_close(learner(weights).loss(LOGITS, given), expected)


def test_several_labels():
    weights = torch.tensor([[1.0, 2.0, 0.5], [3.0, 1.0, 1.0]])
    codes = torch.stack([torch.arange(20) % n == 0 for n in (2, 3, 4)], dim=1).long()
    of_codes = torch.where(codes == 1, weights[1], weights[0])
    expected = F.binary_cross_entropy_with_logits(LOGITS, codes.float(), of_codes)
    torch.testing.assert_close(learner(weights).loss(LOGITS, codes), expected)


@pytest.mark.parametrize("weights", [torch.ones(3), torch.tensor([[1.0, 2, 3], [4, 5, 6]])])
def test_probabilities_count_as_shares_of_labels(weights):
    first, second = (F.one_hot(torch.arange(k, 20 + k) % 3) for k in (0, 1))
    losses = [learner(weights).loss(LOGITS, codes) for codes in (first, second)]
    mixed = learner(weights).loss(LOGITS, 0.3 * first + 0.7 * second)
    torch.testing.assert_close(mixed, 0.3 * losses[0] + 0.7 * losses[1])
