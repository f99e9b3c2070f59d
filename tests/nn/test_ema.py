import torch
from torch import nn

from sklearn_bell.nn.ema import make_target, update_target


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_ema_update_averages_weights_and_buffers():
    online = network()
    target = make_target(online)
    expected = {name: value.clone() for name, value in online.state_dict().items()}
    for step in range(5):
        online(torch.randn(8, 3) + step)  # moves the running statistics
        for parameter in online.parameters():
            parameter.data.add_(torch.randn_like(parameter))
        target(torch.randn(8, 3))  # does not move those of the target
        update_target(target, online, decay=0.9)
        for name, value in online.state_dict().items():
            if value.is_floating_point():
                expected[name] = 0.9 * expected[name] + 0.1 * value
            else:
                expected[name] = value.clone()
    torch.testing.assert_close(dict(target.state_dict()), expected)


def test_target_shares_no_weights_and_has_no_gradient():
    online = network()
    target = make_target(online)
    assert not any(parameter.requires_grad for parameter in target.parameters())
    assert all(parameter.requires_grad for parameter in online.parameters())
    update_target(target, online, decay=0.0)
    online[0].weight.data.zero_()
    assert target[0].weight.abs().sum() > 0


def test_target_normalises_by_the_batch_in_training():
    target = make_target(network())
    assert abs(target(100 + torch.randn(64, 3)).mean()) < 1e-3
