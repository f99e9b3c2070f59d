"""What a training depends on, in a few letters: the estimator, its parameters, and the data.

Networks and functions of users count with their code, and with the plain values that it names;
those of libraries by their names.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import json
import sys
import sysconfig
import types

import numpy as np
import torch
from sklearn.base import BaseEstimator

_SOME_ROWS, _FIRST_ROWS = 64, 8
_NOWHERE = {"n_jobs", "verbose", "device", "checkpoint"}  # parameters no result depends on
_INSTALLED = tuple(sysconfig.get_path(name) for name in ("purelib", "platlib"))
_PLAIN = (type(None), int, float, str, bytes, tuple, frozenset, types.FunctionType, type)


def run_hash(estimator, left_out, data):
    """Return 16 hexadecimal digits that differ where parameters or data do.

    Parameters
    ----------
    estimator : estimator
        Its class and parameters count, with all that is in them: networks with their weights,
        functions with their code.
    left_out : iterable of str
        Names of parameters that do not matter, beside those that never do.
    data : dict
        Arrays, and :class:`Records`, of which some rows are read, and their shape.
    """
    params = {k: v for k, v in _params(estimator).items() if k not in left_out}
    described = _Description().of([type(estimator), params, data])
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]


def sampled_rows_signature(records):
    """Return what tells records from others: their shape, and a hash of some of them."""
    rows = np.unique(np.linspace(0, len(records) - 1, _SOME_ROWS).astype(int))
    return [list(records.shape), _hashed(records[rows])]


def data_signature(records):
    """Return what tells records from others at no cost: their shape, and a hash of the first."""
    return {"shape": list(records.shape), "sha256_of_first": _hashed(records[:_FIRST_ROWS])}


class _Description:
    """Describes values by what JSON can hold, the same in every process."""

    def __init__(self):
        self.met = []  # functions and classes, each of which is described once

    def of(self, value, within=()):
        """Describe a value; `within` is what it is a part of."""
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, bytes):
            return value.hex()
        if isinstance(value, float):
            return repr(value)
        if any(value is outer for outer in within):
            return "itself"
        within = (*within, value)
        if isinstance(value, np.generic):
            return self.of(value.item(), within)
        if isinstance(value, np.ndarray) and value.dtype == object:
            return self.of(value.tolist(), within)
        if isinstance(value, np.ndarray | torch.Tensor):
            return [str(value.dtype), list(value.shape), _hashed(value)]
        if isinstance(value, dict):
            entries = sorted(((str(name), one) for name, one in value.items()), key=lambda x: x[0])
            return ["dict", *([name, self.of(one, within)] for name, one in entries)]
        if isinstance(value, list | tuple):
            return [self.of(one, within) for one in value]
        if isinstance(value, set | frozenset):
            # each by itself: they come in another order in another process
            return ["set", *sorted(json.dumps(_Description().of(one)) for one in value)]
        if isinstance(value, functools.partial):
            return self.of([value.func, value.args, value.keywords], within)
        if isinstance(value, types.FunctionType | type):
            return [_path(value), self._code_of(value)]
        if isinstance(value, types.MethodType):
            return self.of([value.__func__, value.__self__], within)
        if isinstance(value, np.random.RandomState):
            return self.of(value.get_state(), within)
        if isinstance(value, np.random.Generator):
            return self.of(value.bit_generator.state, within)
        if isinstance(value, BaseEstimator):
            return self.of([type(value), _of_estimator(value)], within)
        if hasattr(value, "__qualname__"):  # written in C
            return _path(value)
        if hasattr(value, "__array__"):  # of pandas, for instance
            return self.of(np.asarray(value), within)
        if hasattr(value, "__dict__"):
            return self.of([type(value), vars(value)], within)
        return [_path(type(value)), repr(value).split(" at 0x")[0]]

    def _code_of(self, value):
        """Describe what a function or class of the user does."""
        if any(value is one for one in self.met) or _is_installed(value):
            return None
        self.met.append(value)
        return self.of(_in_class(value) if isinstance(value, type) else _in_function(value))


def _is_installed(value):
    """Return whether a function or class is of a library, or of Python."""
    name = _path(value).split(".")[0]
    if name in sys.stdlib_module_names or name == __name__.split(".")[0]:
        return name != "__main__"
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    return file.startswith(_INSTALLED)


def _in_function(function):
    """Return what a function does: its code, and the values in it."""
    cells = []
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # empty
            cells.append(cell.cell_contents)
    code = _in_code(function.__code__, function.__globals__)
    return [code, function.__defaults__, function.__kwdefaults__, cells]


def _in_code(code, known):
    """Return instructions, constants, and what of global names can be told for sure.

    Other globals may change while nothing is trained otherwise.
    """
    is_code = [isinstance(one, types.CodeType) for one in code.co_consts]
    constants = [
        _in_code(one, known) if nested else one
        for one, nested in zip(code.co_consts, is_code, strict=True)
    ]
    named = {name: known[name] for name in code.co_names if name in known}
    named = {name: one for name, one in named.items() if isinstance(one, _PLAIN)}
    return [code.co_code, constants, code.co_names, named]


def _in_class(cls):
    """Return what a class does: its bases, functions and plain values."""
    members: dict = {}
    for name, one in vars(cls).items():
        if isinstance(one, property):
            members[name] = [one.fget, one.fset]
        elif isinstance(one, classmethod | staticmethod):
            members[name] = one.__func__
        elif isinstance(one, types.FunctionType) or (
            isinstance(one, _PLAIN) and not name.startswith("__")
        ):
            members[name] = one
    return [cls.__bases__, members]


def _params(estimator):
    params = estimator.get_params(deep=False)
    return {name: value for name, value in params.items() if name not in _NOWHERE}


def _of_estimator(estimator):
    """Return parameters, and what was fitted, which counts where it is frozen."""
    fitted = {k: v for k, v in vars(estimator).items() if k.endswith("_") and k != "history_"}
    if hasattr(estimator, "_net"):
        fitted["weights"] = estimator._net.module_.state_dict()
    return [_params(estimator), fitted]


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
