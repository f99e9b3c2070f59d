"""Estimators and their parameters as trees that JSON and safetensors can hold.

Classes of this library are written by name. Any other parameter must be passed to ``load``.
"""

import functools
import inspect
import platform
from importlib import import_module
from importlib.metadata import version

import numpy as np
from sklearn.frozen import FrozenEstimator

from sklearn_bell.exceptions import InvalidFileError

_ESTIMATORS = "pretraining", "classification", "vqvae", "over_sampling", "feature_extraction"
_NETWORKS = "nn.encoders", "nn.augmentation"


def estimator_to_tree(estimator, **options):
    """Describe an estimator; the options are those of its ``_get_state``."""
    name = type(estimator).__name__
    if not is_own_estimator(estimator):
        raise TypeError(
            f"{name} is not a class of sklearn_bell and cannot be saved without code. Use "
            "joblib.dump; its files must come from people you trust."
        )
    params = estimator.get_params(deep=False)
    # the folder and the GPU of this machine are not those of another
    if "checkpoint" in params:
        params["checkpoint"] = None
    if "device" in params:
        device = str(params["device"])
        params["device"] = "auto" if device.startswith("cuda") else device
    packages = ("sklearn_bell", "scikit-learn", "torch", "numpy")
    return {
        "class": name,
        "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
        "params": {name: _encode(value) for name, value in params.items()},
        "state": estimator._get_state(**options) if hasattr(estimator, "_net") else None,
    }


def tree_to_estimator(tree, params):
    """Make the described estimator, with `params` replaced."""
    cls = _known_classes(_ESTIMATORS).get(tree["class"])
    if cls is None:
        raise InvalidFileError(f"sklearn_bell has no estimator {tree['class']}")
    values = {}
    for name, value in tree["params"].items():
        prefix = f"{name}__"
        nested = {k.removeprefix(prefix): v for k, v in params.items() if k.startswith(prefix)}
        values[name] = None if name in params else _decode(value, nested, name)
    for name, value in params.items():
        if name in cls._get_param_names():  # also parameters newer than the file
            values[name] = value
        elif name.split("__")[0] not in tree["params"]:
            raise InvalidFileError(f"{tree['class']} has no parameter {name}")
    estimator = cls(**values)
    if tree["state"] is not None:
        estimator._validate_params()
        estimator._set_state(tree["state"])
    return estimator


def is_own_estimator(estimator):
    """Return True for instances of this library's classes, not of subclasses."""
    return _known_classes(_ESTIMATORS).get(type(estimator).__name__) is type(estimator)


def unknown_names(tree):
    """Yield the names of parameters that are not of this library."""
    if isinstance(tree, dict):
        if tree.keys() == {"unknown"}:
            yield str(tree["unknown"])
        tree = list(tree.values())
    for item in tree if isinstance(tree, list) else ():
        yield from unknown_names(item)


def _encode(value):
    """Describe the value of a parameter."""
    is_numeric = isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
    if value is None or is_numeric or isinstance(value, bool | int | float | str | np.generic):
        return value
    if isinstance(value, list | tuple | np.ndarray):
        name = "tuple" if isinstance(value, tuple) else "list"
        return {name: [_encode(item) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[_encode(key), _encode(item)] for key, item in value.items()]}
    if isinstance(value, np.random.RandomState):
        return {"random_state": list(value.get_state())}
    if isinstance(value, FrozenEstimator) and hasattr(value.estimator, "_get_state"):
        return {"frozen": estimator_to_tree(value.estimator)}
    if is_own_estimator(value):
        return {"estimator": estimator_to_tree(value)}
    if isinstance(value, functools.partial):
        return {"partial": [_encode(part) for part in (value.func, value.args, value.keywords)]}
    networks = _known_classes(_NETWORKS)
    cls = value if isinstance(value, type) else type(value)
    if networks.get(cls.__name__) is cls:
        if value is cls:
            return {"name": cls.__name__}
        parameters = inspect.signature(cls).parameters
        if not value.state_dict() and all(hasattr(value, name) for name in parameters):
            kwargs = {name: getattr(value, name) for name in parameters}
            variadic = [name for name, p in parameters.items() if p.kind == p.VAR_POSITIONAL]
            args = [item for name in variadic for item in kwargs.pop(name)]
            return {"object": [cls.__name__, _encode((args, kwargs))]}
    name = getattr(value, "__qualname__", cls.__qualname__)
    return {"unknown": f"{getattr(value, '__module__', '?')}.{name}"}


def _decode(value, params, name):
    """Make the value of parameter `name`."""
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    networks = _known_classes(_NETWORKS)
    match kind:
        case "list" | "tuple":
            items = [_decode(item, params, name) for item in content]
            return tuple(items) if kind == "tuple" else items
        case "dict":
            return dict([_decode(item, params, name) for item in entry] for entry in content)
        case "random_state":
            random_state = np.random.RandomState()
            random_state.set_state(tuple(content))
            return random_state
        case "frozen" | "estimator":
            estimator = tree_to_estimator(content, params)
            return FrozenEstimator(estimator) if kind == "frozen" else estimator
        case "partial":
            function, args, kwargs = (_decode(part, params, name) for part in content)
            if function not in networks.values():
                raise InvalidFileError(f"{name} is a partial of {function}")
            return functools.partial(function, *args, **kwargs)
        case "name":
            return networks[content]
        case "object":
            args, kwargs = _decode(content[1], params, name)
            return networks[content[0]](*args, **kwargs)
    raise InvalidFileError(
        f"its parameter {name} was {content}, which is not part of sklearn_bell. Pass it: "
        f"load(..., {name}={str(content).split('.')[-1]})"
    )


@functools.cache
def _known_classes(modules):
    """Return the public classes of some modules by name."""
    imported = [import_module(f"sklearn_bell.{name}") for name in modules]
    objects = {name: getattr(module, name) for module in imported for name in module.__all__}
    return {name: cls for name, cls in objects.items() if isinstance(cls, type)}
