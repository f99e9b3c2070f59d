"""Fitted estimators as files that can be passed on: no code is run that comes out of one.

A file holds the class, its parameters, and the weights. Classes and functions are written as names,
and only those of this library are looked up; what else a parameter was has to be handed in.
"""

from __future__ import annotations

import copyreg
import functools
import inspect
import math
import platform
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from sklearn_bell.exceptions import InvalidFileError
from sklearn_bell.persistence._format import from_bytes, read_file, to_bytes, write_file

if TYPE_CHECKING:
    import os

_KIND = "model"
_FILE = "sklearn_bell file"  # key of what skops keeps
_MOST_LEADS, _MOST_SAMPLES = 1024, 2**22  # of a record, of all its leads
_MOST_NEW = 2**28  # weights that are not in a file
_SIZES = "n_features_in_", "n_leads_in_", "n_samples_in_", "height_in_", "width_in_"
_ESTIMATORS = "pretraining", "classification", "vqvae", "over_sampling"
_NETWORKS = "nn.encoders", "nn.augmentation"


class SaveMixin:
    """Mixin for estimators that can be saved.

    They define ``_set_state(state)``, which makes of an unfitted estimator the one whose
    ``_get_state()`` it was: what JSON and safetensors can hold of what was fitted.
    """

    _net: Any
    _data: dict | None  # what it was trained on, in a few letters; None is unknown
    _n_dimensions_in: int
    history_: list[dict]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a file, for :func:`sklearn_bell.load`.

        Unlike a pickle it holds no code, and can be read without risk, also by other versions of
        the libraries. Optimiser and callbacks are not in it, nor is ``checkpoint``, and
        ``partial_fit`` begins with a new optimiser.

        Parameters
        ----------
        path : str or path
            The file, for instance ``"bell.safetensors"``. An existing one is replaced when the new
            one is complete.

        Raises
        ------
        TypeError
            If the class is not one of sklearn_bell.
        OSError
            If the file cannot be written.
        """
        self._save(path)

    def _save(self, path, **options):
        check_is_fitted(self)
        write_file(Path(path), _described(self, **options), _KIND)

    def __getstate__(self):
        """Return what skops keeps: the file that ``save`` writes, which runs no code when read."""
        if not _is_known(self):
            return super().__getstate__()
        described = _described(self)
        unknown = sorted(_unknown(described["params"]))
        if unknown:
            raise TypeError(
                f"{', '.join(unknown)} is not of sklearn_bell, and cannot be kept without code. "
                "Use save, and hand it in at load; or joblib.dump, whose files must be trusted."
            )
        return {_FILE: to_bytes(described, _KIND)}

    def __setstate__(self, state):
        """Become what was kept."""
        if state.keys() != {_FILE}:
            return super().__setstate__(state)  # type: ignore[misc]  # of BaseEstimator
        loaded = _loaded(from_bytes(state[_FILE], _KIND), {}, "what skops has kept")
        if type(loaded) is not type(self):
            raise InvalidFileError(f"It is a {type(loaded).__name__}, not a {type(self).__name__}.")
        return self.__dict__.update(vars(loaded))

    def __reduce_ex__(self, protocol):
        """Return what pickle keeps, which is all: optimiser, callbacks, and code by its name."""
        state = super().__getstate__() if _is_known(self) else self.__getstate__()
        return copyreg.__newobj__, (type(self),), state  # type: ignore[attr-defined]

    def __reduce__(self):
        return self.__reduce_ex__(2)

    def _get_state(self):
        """Return what was fitted."""
        names = getattr(self, "feature_names_in_", None)
        records = {
            "sizes": {name: int(size) for name, size in vars(self).items() if name in _SIZES},
            "feature_names": None if names is None else names.tolist(),
            "n_dimensions": self._n_dimensions_in,
            "data": self._data,
        }
        return {
            "records": records,
            "seed": self._net.seed,
            "weights": self._net.module_.state_dict(),
            "history": self.history_,
        }


def load(path: str | os.PathLike[str], **params: Any) -> Any:
    """Read an estimator that was saved.

    Parameters
    ----------
    path : str or path
        The file.
    **params : dict
        Parameters to replace, with names as in ``set_params``. Needed where one was not of this
        library, such as a network of your own: ``load(path, encoder=MyEncoder)``. With
        ``device="cpu"`` a model of another device is read.

    Returns
    -------
    estimator : estimator
        It predicts and transforms to the same bits on the same machine.

    Raises
    ------
    InvalidFileError
        A ``ValueError`` that names the file: if it is damaged, no model, or of a newer format, if a
        parameter has to be handed in, or if the weights do not fit it.
    OSError
        If there is no such file, or no permission.

    Examples
    --------
    >>> import tempfile
    >>> import sklearn_bell
    >>> from sklearn_bell.datasets import make_ecg
    >>> X = make_ecg(20, leads=["II"], random_state=0).data
    >>> bell = sklearn_bell.BELLPretrainer(max_epochs=1, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     bell.save(f"{folder}/bell.safetensors")
    ...     loaded = sklearn_bell.load(f"{folder}/bell.safetensors")
    >>> bool((loaded.transform(X) == bell.transform(X)).all())
    True
    """
    content = read_file(path, _KIND)
    return _loaded(content, params, path)


def _loaded(content, params, path):
    """Return the estimator of the content of a file."""
    try:
        return _estimator(content, params)
    except InvalidFileError as error:
        raise InvalidFileError(f"{path}: {error}") from error
    except (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RuntimeError,
            TypeError, ValueError) as error:  # fmt: skip
        raise InvalidFileError(
            f"{path}: its content makes no model ({type(error).__name__}: {error})"
        ) from error


def set_attributes(estimator, found):
    """Set what is known of the records that it was fitted on, unless it is out of all bounds."""
    if found["feature_names"] is not None:
        estimator.feature_names_in_ = np.array(found["feature_names"], dtype=object)
    estimator._n_dimensions_in, estimator._data = found["n_dimensions"], found.get("data")
    for name, size in found["sizes"].items():
        if name not in _SIZES or not isinstance(size, int) or size < 1:
            raise InvalidFileError(f"{name} is {size}")
        setattr(estimator, name, size)
    rows, columns = estimator._shape
    if rows > _MOST_LEADS or rows * columns > _MOST_SAMPLES:
        raise InvalidFileError(
            f"it is of records of shape {rows} x {columns}, but at most {_MOST_LEADS} leads and "
            f"{_MOST_SAMPLES} samples in all of them are read"
        )


def with_weights(make, weights, wanted=""):
    """Return the network that ``make()`` returns, with these weights in it.

    First it is made without memory, so that no file can ask for more than it holds. Weights whose
    names do not start as is wanted may be missing, and are those of a new network then.
    """
    with torch.device("meta"):
        sizes = {name: one.shape for name, one in make().state_dict().items()}
    found = {name: one.shape for name, one in weights.items()}
    new = {name: size for name, size in sizes.items() if name not in found}
    if not any(name.startswith(wanted) for name in new):
        if sum(map(math.prod, new.values())) > _MOST_NEW:
            raise InvalidFileError(f"its parameters ask for more than {_MOST_NEW} new weights")
        sizes = {name: size for name, size in sizes.items() if name in found}
    if sizes != found:
        wrong = sorted(name for name in {*sizes, *found} if sizes.get(name) != found.get(name))
        raise InvalidFileError(f"its weights do not fit the parameters: {', '.join(wrong[:3])}")
    network = make()
    network.load_state_dict(weights, strict=False)
    return network


def _described(estimator, **options):
    """Return what a file holds of an estimator, with options of its ``_get_state``."""
    name = type(estimator).__name__
    if not _is_known(estimator):
        raise TypeError(
            f"{name} is not of sklearn_bell, and cannot be saved. Use joblib.dump instead, whose "
            "files must be trusted by those who read them."
        )
    # the folder and the GPU are not those of another machine
    params = estimator.get_params(deep=False) | {"checkpoint": None}
    if str(params.get("device", "")).startswith("cuda"):
        params["device"] = "auto"
    fitted = hasattr(estimator, "_net")
    return {
        "class": name,
        "versions": {
            "python": platform.python_version(),
            **{one: version(one) for one in ("sklearn_bell", "scikit-learn", "torch", "numpy")},
        },
        "params": {name: _encoded(value) for name, value in params.items()},
        "state": estimator._get_state(**options) if fitted else None,
    }


def _encoded(value):
    """Return what a file can hold for a parameter."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return value
    if isinstance(value, list | tuple | np.ndarray):
        name = "tuple" if isinstance(value, tuple) else "list"
        return {name: [_encoded(one) for one in value]}
    if isinstance(value, dict):
        return {"dict": [[_encoded(key), _encoded(one)] for key, one in value.items()]}
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, np.random.RandomState):
        return {"random_state": list(value.get_state())}
    if isinstance(value, FrozenEstimator) and isinstance(value.estimator, SaveMixin):
        return {"frozen": _described(value.estimator)}
    if _is_known(value):
        return {"estimator": _described(value)}
    if isinstance(value, functools.partial):
        parts = [_encoded(one) for one in (value.func, value.args, value.keywords)]
        return {"partial": parts}
    known = _known(_NETWORKS)
    if isinstance(value, type) and known.get(value.__name__) is value:
        return {"name": value.__name__}
    if known.get(type(value).__name__) is type(value):
        arguments = _arguments(value)
        if arguments is not None:
            return {"object": [type(value).__name__, _encoded(arguments)]}
    module = getattr(value, "__module__", "?")
    return {"unknown": f"{module}.{getattr(value, '__qualname__', type(value).__qualname__)}"}


def _arguments(module):
    """Return what makes the same module, where it has no weights, or else None."""
    if module.state_dict():
        return None
    args, kwargs = [], {}
    for name, parameter in inspect.signature(type(module)).parameters.items():
        if not hasattr(module, name):
            return None
        if parameter.kind == parameter.VAR_POSITIONAL:
            args += list(getattr(module, name))
        else:
            kwargs[name] = getattr(module, name)
    return args, kwargs


def _estimator(tree, params):
    """Return the estimator that was described, with other parameters where they are given."""
    cls = _known(_ESTIMATORS).get(tree["class"])
    if cls is None:
        raise InvalidFileError(f"there is no estimator {tree['class']} in sklearn_bell")
    found = {}
    for name, value in tree["params"].items():
        prefix = f"{name}__"
        within = {k.removeprefix(prefix): v for k, v in params.items() if k.startswith(prefix)}
        found[name] = None if name in params else _decoded(value, within, name)
    for name, value in params.items():
        if name in cls._get_param_names():  # which the file need not know
            found[name] = value
        elif name.split("__")[0] not in tree["params"]:
            raise InvalidFileError(f"{tree['class']} has no parameter {name}")
    estimator = cls(**found)
    if tree["state"] is not None:
        estimator._validate_params()
        estimator._set_state(tree["state"])
    return estimator


def _decoded(value, params, name):
    """Return a parameter of this name, as it was."""
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind in ("list", "tuple"):
        items = [_decoded(one, params, name) for one in content]
        return items if kind == "list" else tuple(items)
    if kind == "dict":
        both = [[_decoded(one, params, name) for one in entry] for entry in content]
        return dict(both)
    if kind == "random_state":
        random_state = np.random.RandomState()
        random_state.set_state(tuple(content))
        return random_state
    if kind == "frozen":
        return FrozenEstimator(_estimator(content, params))
    if kind == "estimator":
        return _estimator(content, params)
    if kind == "partial":
        function, args, kwargs = (_decoded(one, params, name) for one in content)
        if function not in _known(_NETWORKS).values():
            raise InvalidFileError(f"{name} is made by {function}")
        return functools.partial(function, *args, **kwargs)
    if kind == "name":
        return _known(_NETWORKS)[content]
    if kind == "object":
        args, kwargs = _decoded(content[1], params, name)
        return _known(_NETWORKS)[content[0]](*args, **kwargs)
    raise InvalidFileError(
        f"its parameter {name} was {content}, which is not of sklearn_bell. Hand it in, as "
        f"load(..., {name}={str(content).split('.')[-1]})"
    )


def _unknown(value):
    """Yield the names of what was not of this library, in the parameters of a description."""
    if isinstance(value, dict):
        if value.keys() == {"unknown"}:
            yield str(value["unknown"])
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _unknown(one)


def _is_known(estimator):
    return _known(_ESTIMATORS).get(type(estimator).__name__) is type(estimator)


@functools.cache
def _known(modules):
    """Return the classes that may be looked up, by their names."""
    found = [import_module(f"sklearn_bell.{name}") for name in modules]
    classes = {name: getattr(module, name) for module in found for name in module.__all__}
    return {name: one for name, one in classes.items() if isinstance(one, type)}
