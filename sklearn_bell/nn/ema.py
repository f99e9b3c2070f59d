"""The target network: an exponential moving average of the online network."""

import copy
from typing import TypeVar

import torch
from torch import nn

__all__ = ["make_target", "update_target"]

Network = TypeVar("Network", bound=nn.Module)


def make_target(online: Network) -> Network:
    """Return a copy without gradients, changed by `update_target` only.

    In training mode its batch normalisation uses the statistics of the batch, as in BYOL, but does
    not update its running statistics: `update_target` averages them like weights.

    Examples
    --------
    >>> make_target(nn.Linear(2, 3)).weight.requires_grad
    False
    """
    target = copy.deepcopy(online).requires_grad_(False)
    for module in target.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 0.0
    return target


@torch.no_grad()
def update_target(target: nn.Module, online: nn.Module, decay: float) -> None:
    """Set weights and buffers to ``decay * target + (1 - decay) * online``; copy integer buffers.

    Examples
    --------
    >>> online, target = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    >>> _ = nn.init.constant_(online.weight, 1), nn.init.constant_(target.weight, 0)
    >>> update_target(target, online, decay=0.9)
    >>> target.weight.item()
    0.1...
    """
    pairs: list = [*zip(target.parameters(), online.parameters(), strict=True)]
    pairs += zip(target.buffers(), online.buffers(), strict=True)
    averages, values = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
    torch._foreach_lerp_(averages, values, 1 - decay)
    for old, new in pairs:
        if not old.is_floating_point():
            old.copy_(new)
