"""Pickling of networks with parametrised weights, such as those with a weight norm."""

from collections import OrderedDict
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize


def allow_pickling(network: nn.Module) -> None:
    """Make the parametrised modules of a network picklable: PyTorch supports their weights only."""
    for module in network.modules():
        if parametrize.is_parametrized(module):  # its class belongs to this module alone
            type(module).__reduce_ex__ = _reduce  # type: ignore[method-assign]


def _reduce(module, protocol):
    # that of weight_norm is a local function, for the names of weights in older versions
    state = vars(module) | {"_load_state_dict_pre_hooks": OrderedDict()}
    return _restore, (type(module).__base__, [*module.parametrizations]), state


def _restore(cls, names):
    """Return an empty module of the class that PyTorch makes of `cls` for parametrised weights."""
    example = cls.__new__(cls)
    nn.Module.__init__(example)
    for name in names:
        example.register_parameter(name, nn.Parameter(torch.zeros(())))
        parametrize.register_parametrization(example, name, nn.Identity())
    allow_pickling(example)
    made: Any = type(example)
    return made.__new__(made)
