import torch
from torch import nn

from sklearn_bell.nn.heads import LeadwiseLinear, LeadwiseMLP


def test_leadwise_linear_equals_one_linear_layer_per_lead():
    torch.manual_seed(0)
    layer = LeadwiseLinear(3, 4, 5)
    x = torch.randn(6, 3, 4)
    for lead in range(3):
        expected = nn.functional.linear(x[:, lead], layer.weight[lead].T, layer.bias[lead, 0])
        torch.testing.assert_close(layer(x)[:, lead], expected)


def test_leadwise_linear_is_initialised_as_torch_does():
    torch.manual_seed(0)
    weight, reference = LeadwiseLinear(8, 64, 512).weight, nn.Linear(64, 512).weight
    assert weight.abs().max() <= reference.abs().max() * 1.01
    torch.testing.assert_close(weight.std(), reference.std(), rtol=0.02, atol=0)


def test_leadwise_mlp_equals_one_network_per_lead():
    torch.manual_seed(0)
    head = LeadwiseMLP(3, 4, 5, 2)
    x = torch.randn(6, 3, 4)
    out = head(x)
    for lead in range(3):
        hidden = x[:, lead] @ head.expand.weight[lead] + head.expand.bias[lead]
        hidden = nn.functional.batch_norm(hidden, None, None, training=True)
        expected = torch.relu(hidden) @ head.contract.weight[lead] + head.contract.bias[lead]
        torch.testing.assert_close(out[:, lead], expected)


def test_each_view_is_normalised_by_itself():
    torch.manual_seed(0)
    together, apart = LeadwiseMLP(3, 4, 5, 2), LeadwiseMLP(3, 4, 5, 2)
    apart.load_state_dict(together.state_dict())
    views = torch.randn(2, 6, 3, 4) * torch.tensor([1.0, 5.0]).view(2, 1, 1, 1)
    torch.testing.assert_close(together(views), torch.stack([apart(view) for view in views]))
    for name, expected in apart.state_dict().items():
        torch.testing.assert_close(together.state_dict()[name], expected)
    together.eval()
    torch.testing.assert_close(together(views), torch.stack([together(view) for view in views]))
