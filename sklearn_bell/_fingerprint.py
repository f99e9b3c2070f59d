"""What a training depends on, in a few letters: the estimator, its parameters, and the data."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import types

import numpy as np
import torch
from sklearn.base import BaseEstimator

_SOME_ROWS, _FIRST_ROWS = 64, 8


def fingerprint(estimator, left_out, data):
    """Return 16 hexadecimal digits that differ where parameters or data do.

    Parameters
    ----------
    estimator : estimator
        Its class and parameters count, with all that is in them: networks with their weights,
        functions with their code.
    left_out : iterable of str
        Names of parameters that do not matter.
    data : dict
        Arrays, and :class:`Records`, of which some rows are read, and their shape.
    """
    params = {k: v for k, v in estimator.get_params(deep=False).items() if k not in left_out}
    described = [_path(type(estimator)), _described(params, ()), _described(data, ())]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]


def some_rows(records):
    """Return what tells records from others: their shape, and a hash of some of them."""
    rows = np.unique(np.linspace(0, len(records) - 1, _SOME_ROWS).astype(int))
    return [list(records.shape), _hashed(records[rows])]


def first_rows(records):
    """Return what tells records from others at no cost: their shape, and a hash of the first."""
    return {"shape": list(records.shape), "sha256_of_first": _hashed(records[:_FIRST_ROWS])}


def _described(value, within):
    """Return what JSON can hold, the same in every process; `within` is what this is a part of."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return repr(value)
    if any(value is outer for outer in within):
        return "itself"
    within = (*within, value)
    if isinstance(value, np.generic):
        return _described(value.item(), within)
    if isinstance(value, np.ndarray) and value.dtype == object:
        return _described(value.tolist(), within)
    if isinstance(value, np.ndarray | torch.Tensor):
        return [str(value.dtype), list(value.shape), _hashed(value)]
    if isinstance(value, dict):
        entries = [[str(name), _described(one, within)] for name, one in value.items()]
        return ["dict", *sorted(entries, key=lambda entry: entry[0])]
    if isinstance(value, list | tuple):
        return [_described(one, within) for one in value]
    if isinstance(value, set | frozenset):
        return ["set", *sorted(json.dumps(_described(one, within)) for one in value)]
    if isinstance(value, functools.partial):
        return _described([value.func, value.args, value.keywords], within)
    if isinstance(value, types.FunctionType):
        code, cells = value.__code__, value.__closure__ or ()
        constants = [one for one in code.co_consts if not isinstance(one, types.CodeType)]
        parts = [constants, code.co_names, value.__defaults__, [one.cell_contents for one in cells]]
        return [_path(value), code.co_code.hex(), _described(parts, within)]
    if isinstance(value, types.MethodType):
        return _described([value.__func__.__qualname__, value.__self__], within)
    if isinstance(value, np.random.RandomState):
        return _described(value.get_state(), within)
    if isinstance(value, np.random.Generator):
        return _described(value.bit_generator.state, within)
    if isinstance(value, BaseEstimator):
        return [_path(type(value)), _described(_of_estimator(value), within)]
    if hasattr(value, "__qualname__"):  # a class, or what is written in C
        return _path(value)
    if hasattr(value, "__dict__"):
        return [_path(type(value)), _described(vars(value), within)]
    return [_path(type(value)), repr(value).split(" at 0x")[0]]


def _of_estimator(estimator):
    """Return parameters, and what was fitted, which counts where it is frozen."""
    fitted = {k: v for k, v in vars(estimator).items() if k.endswith("_") and k != "history_"}
    if hasattr(estimator, "_net"):
        fitted["weights"] = estimator._net.module_.state_dict()
    return [estimator.get_params(deep=False), fitted]


def _path(value):
    """Return where a class or function comes from."""
    module = getattr(inspect.getmodule(value), "__name__", getattr(value, "__module__", ""))
    return f"{module}.{value.__qualname__}"


def _hashed(array):
    if isinstance(array, torch.Tensor):
        array = array.detach().cpu().contiguous()
        array = array.view(torch.uint8) if array.ndim else array.reshape(1).view(torch.uint8)
        array = array.numpy()
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
