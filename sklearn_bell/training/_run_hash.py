"""Run hash: identifies a training by its estimator, parameters and data, in every process.

Arrays and weights count by their bytes, functions and classes by qualified name; the user's also by
source and captured values.
"""

from __future__ import annotations

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
from torch import nn

_N_SAMPLED_ROWS, _N_FIRST_ROWS = 64, 8
_IGNORED_PARAMS = {"n_jobs", "verbose", "device", "checkpoint"}  # no result depends on them
_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("purelib", "platlib"))


def run_hash(estimator, ignored, data):
    """Return 16 hexadecimal digits for an estimator without `ignored` parameters, and its data."""
    params = {k: v for k, v in _params(estimator).items() if k not in ignored}
    tree = _describe([type(estimator), params, data])
    return hashlib.sha256(json.dumps(tree).encode()).hexdigest()[:16]


def sampled_rows_signature(records):
    """Return the shape of records and a hash of 64 of them."""
    rows = np.unique(np.linspace(0, len(records) - 1, _N_SAMPLED_ROWS).astype(int))
    return [list(records.shape), _sha256(records[rows])]


def data_signature(records):
    """Return the shape of records and a hash of the first ones, which costs nothing to read."""
    return {"shape": list(records.shape), "sha256_of_first": _sha256(records[:_N_FIRST_ROWS])}


def _describe(value, parents=()):
    """Return a value as canonical JSON; `parents` are the objects that contain it."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, bytes | float):
        return repr(value)
    if any(value is parent for parent in parents):
        return "recursion"
    describe = functools.partial(_describe, parents=(*parents, value))
    if isinstance(value, np.generic):
        return describe(value.item())
    if isinstance(value, np.ndarray) and value.dtype == object:
        return describe(value.tolist())
    if isinstance(value, np.ndarray | torch.Tensor):
        return [str(value.dtype), list(value.shape), _sha256(value)]
    if isinstance(value, dict):
        items = [(json.dumps(describe(key)), describe(item)) for key, item in value.items()]
        return {"dict": sorted(items, key=lambda item: item[0])}
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if isinstance(value, set | frozenset):
        return {"set": sorted(json.dumps(describe(item)) for item in value)}
    if isinstance(value, functools.partial | types.MethodType):
        return describe(value.__reduce__())
    if isinstance(value, np.random.RandomState):
        return describe(value.get_state())
    if isinstance(value, types.FunctionType | type):
        return describe([_path(value)] if _is_library(value) else _code_parts(value))
    if hasattr(value, "__qualname__"):  # a function in C
        return _path(value)
    if isinstance(value, BaseEstimator):
        return describe([type(value), _params(value), _fitted_state(value)])
    if hasattr(value, "__array__"):  # of pandas, for instance
        return describe(np.asarray(value))
    if isinstance(value, nn.Module):  # the order of its parts counts
        return describe([type(value), [name for name, _ in value.named_modules()], vars(value)])
    if hasattr(value, "__dict__"):
        return describe([type(value), vars(value)])
    try:
        return describe(value.__reduce_ex__(2))
    except TypeError:  # cannot be pickled
        return [_path(type(value)), repr(value).split(" at 0x")[0]]


def _code_parts(value):
    """Return everything that a user's function or class depends on, except global variables."""
    parts: list = [_path(value)]
    try:
        parts.append(inspect.getsource(value))
    except (OSError, TypeError):  # defined by exec or in an interactive session
        parts.append({k: item for k, item in vars(value).items() if not k.startswith("__")})
    if isinstance(value, type):
        members = [getattr(m, "__func__", getattr(m, "fget", m)) for m in vars(value).values()]
        functions = [member for member in members if isinstance(member, types.FunctionType)]
        return [*parts, value.__bases__, functions]
    cells = [cell.cell_contents for cell in value.__closure__ or () if cell != types.CellType()]
    return [*parts, _instructions(value.__code__), value.__defaults__, value.__kwdefaults__, cells]


def _instructions(code):
    """Return instructions, which tell apart two lambdas in one line of source."""
    constants = [_instructions(c) if isinstance(c, types.CodeType) else c for c in code.co_consts]
    return [code.co_code, constants, code.co_names]


def _is_library(value):
    """Return True for functions and classes of Python, of installed packages and of this one."""
    name = _path(value).split(".")[0]
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    return name in {*sys.stdlib_module_names, "sklearn_bell"} or file.startswith(_LIBRARIES)


def _params(estimator):
    params = estimator.get_params(deep=False)
    return {name: value for name, value in params.items() if name not in _IGNORED_PARAMS}


def _fitted_state(estimator):
    """Return fitted attributes and weights, which count for a frozen estimator."""
    state = {k: v for k, v in vars(estimator).items() if k.endswith("_") and k != "history_"}
    if hasattr(estimator, "_net"):
        state["weights"] = estimator._net.module_.state_dict()
    return state


def _path(value):
    """Return the module and qualified name of a class or function."""
    return f"{getattr(value, '__module__', '')}.{value.__qualname__}"


def _sha256(array):
    if isinstance(array, torch.Tensor):
        array = array.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
