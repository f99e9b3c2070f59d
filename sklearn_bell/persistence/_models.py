"""Save and load fitted estimators without running code from the file."""

from __future__ import annotations

import copyreg
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from sklearn_bell.exceptions import InvalidECGError, InvalidFileError
from sklearn_bell.persistence._format import from_bytes, to_bytes, write_file
from sklearn_bell.persistence._params import (
    estimator_to_tree,
    is_own_estimator,
    tree_to_estimator,
    unknown_names,
)

#: All estimator classes, for ``skops.io.load(path, trusted=TRUSTED_TYPES)``, which runs no code.
TRUSTED_TYPES = (
    "sklearn_bell.classification._classifier.ECGClassifier",
    "sklearn_bell.feature_extraction._features.ECGFeatures",
    "sklearn_bell.over_sampling._random.RandomOverSampler",
    "sklearn_bell.over_sampling._random.RandomUnderSampler",
    "sklearn_bell.over_sampling._sampler.VQVAEOverSampler",
    "sklearn_bell.preprocessing._transformers.BandpassFilter",
    "sklearn_bell.preprocessing._transformers.Cropper",
    "sklearn_bell.preprocessing._transformers.GapFiller",
    "sklearn_bell.preprocessing._transformers.LeadSelector",
    "sklearn_bell.preprocessing._transformers.RecordScaler",
    "sklearn_bell.preprocessing._transformers.Resampler",
    "sklearn_bell.pretraining._barlow_twins.BarlowTwinsPretrainer",
    "sklearn_bell.pretraining._bell.BELLPretrainer",
    "sklearn_bell.pretraining._byol.BYOLPretrainer",
    "sklearn_bell.pretraining._clocs.CLOCSPretrainer",
    "sklearn_bell.pretraining._lfbt.LFBTPretrainer",
    "sklearn_bell.pretraining._simclr.SimCLRPretrainer",
    "sklearn_bell.vqvae._images.ImageVQVAETransformer",
    "sklearn_bell.vqvae._signals.VQVAETransformer",
)

_KIND = "model"
_SKOPS_KEY = "sklearn_bell file"
_MAX_LEADS, _MAX_SAMPLES = 1024, 2**22  # of a record; samples of all its leads
_MAX_NEW_WEIGHTS = 2**28  # initialised by the network, not read from a file
_SIZES = "n_features_in_", "n_leads_in_", "n_samples_in_", "height_in_", "width_in_"


class SaveMixin:
    """Mixin for estimators that can be saved; subclasses define ``_set_state(state)``."""

    _net: Any
    _data: dict | None  # signature of the training data; None if unknown
    _n_dimensions_in: int
    history_: list[dict]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a file for :func:`sklearn_bell.load`.

        Unlike a pickle the file holds no code, and other versions of the libraries can read it.
        The optimiser, callbacks and ``checkpoint`` are not saved.

        Parameters
        ----------
        path : str or path
            For instance ``"bell.safetensors"``. An existing file is replaced atomically.

        Raises
        ------
        TypeError
            If the class is not part of sklearn_bell.
        """
        self._save(path)

    def _save(self, path, **options):
        check_is_fitted(self)
        write_file(Path(path), estimator_to_tree(self, **options), _KIND)

    def __getstate__(self):
        """Return the bytes of a saved file, which skops stores instead of pickled objects."""
        if not is_own_estimator(self):
            return super().__getstate__()
        tree = estimator_to_tree(self)
        if unknown := sorted(unknown_names(tree["params"])):
            raise TypeError(
                f"{', '.join(unknown)} is not part of sklearn_bell and cannot be stored without "
                "code. Use save and pass it to load, or use joblib.dump; its files must come from "
                "people you trust."
            )
        return {_SKOPS_KEY: to_bytes(tree, _KIND)}

    def __setstate__(self, state):
        """Restore a state of skops or of pickle."""
        if state.keys() != {_SKOPS_KEY}:
            return super().__setstate__(state)  # type: ignore[misc]  # of BaseEstimator
        loaded = _load_bytes(state[_SKOPS_KEY], {}, "the skops file")
        if type(loaded) is not type(self):
            raise InvalidFileError(f"It is a {type(loaded).__name__}, not a {type(self).__name__}.")
        return self.__dict__.update(vars(loaded))

    def __reduce__(self):
        """Return the complete state for pickle: optimiser, callbacks and references to code."""
        state = super().__getstate__() if is_own_estimator(self) else self.__getstate__()
        return copyreg.__newobj__, (type(self),), state  # type: ignore[attr-defined]

    def _get_state(self):
        """Return the fitted state, which ``_set_state`` restores on an unfitted estimator."""
        names = getattr(self, "feature_names_in_", None)
        return {
            "records": {
                "sizes": {name: int(size) for name, size in vars(self).items() if name in _SIZES},
                "feature_names": None if names is None else names.tolist(),
                "n_dimensions": self._n_dimensions_in,
                "data": self._data,
            },
            "seed": self._net.seed,
            "weights": self._net.module_.state_dict(),
            "history": self.history_,
        }


def load(path: str | os.PathLike[str], **params: Any) -> Any:
    """Load an estimator that was saved with its method ``save``.

    Parameters
    ----------
    path : str or path
    **params : dict
        Parameters to replace, such as ``device="cpu"``, named as in ``set_params``. Required for
        those that are not part of this library: ``load(path, encoder=MyEncoder)``.

    Returns
    -------
    estimator : estimator
        Predicts and transforms to the same bits on the same machine.

    Raises
    ------
    InvalidFileError
        A ``ValueError`` that names the file: if it is damaged, not a model, of a newer format, if a
        parameter is missing, or if the weights do not fit the parameters.
    InvalidECGError
        If `params` are invalid, such as an unknown device.

    Examples
    --------
    >>> import tempfile, sklearn_bell
    >>> X = sklearn_bell.datasets.make_ecg(20, leads=["II"], random_state=0).data
    >>> bell = sklearn_bell.BELLPretrainer(max_epochs=1, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     bell.save(f"{folder}/bell.safetensors")
    ...     loaded = sklearn_bell.load(f"{folder}/bell.safetensors")
    >>> bool((loaded.transform(X) == bell.transform(X)).all())
    True
    """
    return _load_bytes(Path(path).read_bytes(), params, path)


def _load_bytes(data, params, path):
    try:
        return tree_to_estimator(from_bytes(data, _KIND), params)
    except InvalidFileError as error:
        raise InvalidFileError(f"{path}: {error}") from error
    except Exception as error:
        if params and isinstance(error, InvalidECGError):
            raise
        message = f"its content is not a valid model ({type(error).__name__}: {error})"
        raise InvalidFileError(f"{path}: {message}") from error


def set_record_attributes(estimator, state):
    """Set the attributes that describe the training records, within bounds."""
    if state["feature_names"] is not None:
        estimator.feature_names_in_ = np.array(state["feature_names"], dtype=object)
    estimator._n_dimensions_in, estimator._data = state["n_dimensions"], state.get("data")
    for name, size in state["sizes"].items():
        if name not in _SIZES or not isinstance(size, int) or size < 1:
            raise InvalidFileError(f"{name} is {size}")
        setattr(estimator, name, size)
    rows, columns = estimator._shape
    if rows > _MAX_LEADS or rows * columns > _MAX_SAMPLES:
        raise InvalidFileError(
            f"its records have shape {rows} x {columns}, but at most {_MAX_LEADS} leads and "
            f"{_MAX_SAMPLES} samples in all leads are supported"
        )


def network_with_weights(make_network, weights, required=""):
    """Make a network and load its weights; only those with the prefix `required` must be there.

    It is first made on the meta device, so that no file can allocate more than it holds.
    """
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in make_network().state_dict().items()}
    file_shapes = {name: tensor.shape for name, tensor in weights.items()}
    missing = {name: shapes[name] for name in shapes.keys() - file_shapes.keys()}
    if not any(name.startswith(required) for name in missing):
        if sum(map(math.prod, missing.values())) > _MAX_NEW_WEIGHTS:
            raise InvalidFileError(f"its parameters need more than {_MAX_NEW_WEIGHTS} new weights")
        file_shapes |= missing
    if wrong := sorted({name for name, _ in shapes.items() ^ file_shapes.items()}):
        raise InvalidFileError(f"its weights do not fit its parameters: {', '.join(wrong[:3])}")
    network = make_network()
    network.load_state_dict(weights, strict=False)
    return network
