import torch
from torch import nn

from sklearn_bell.nn.heads import LeadwiseLinear, LeadwiseMLP


def test_leadwise_linear_equals_a_linear_layer_per_lead():
    torch.manual_seed(0)
    layer = LeadwiseLinear(3, 4, 5)
    x = torch.randn(6, 3, 4)
    expected = [x[:, i] @ layer.weight[i] + layer.bias[i] for i in range(3)]
    torch.testing.assert_close(layer(x), torch.stack(expected, dim=1))


def test_leadwise_linear_is_initialised_like_nn_linear():
    torch.manual_seed(0)
    weight, reference = LeadwiseLinear(8, 64, 512).weight, nn.Linear(64, 512).weight
    assert weight.abs().max() <= reference.abs().max() * 1.01
    torch.testing.assert_close(weight.std(), reference.std(), rtol=0.02, atol=0)


def test_leadwise_mlp_equals_a_network_per_lead():
    torch.manual_seed(0)
    head = LeadwiseMLP(3, 4, 5, 2)
    x = torch.randn(6, 3, 4)
    expected = []
    for lead in range(3):
        hidden = x[:, lead] @ head.expand.weight[lead] + head.expand.bias[lead]
        hidden = nn.functional.batch_norm(hidden, None, None, training=True)
        expected.append(torch.relu(hidden) @ head.contract.weight[lead] + head.contract.bias[lead])
    torch.testing.assert_close(head(x), torch.stack(expected, dim=1))
