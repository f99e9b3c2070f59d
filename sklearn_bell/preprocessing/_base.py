"""Base classes of transformers that treat each record separately."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils.validation import check_is_fitted

from sklearn_bell._utils.validation import ECGInputMixin, FitTransformMixin, check_ecg

if TYPE_CHECKING:
    from sklearn_bell._utils import types


class RecordTransformer(ECGInputMixin, FitTransformMixin, BaseEstimator, metaclass=ABCMeta):
    """Template: subclasses define ``_transform`` of a batch, and ``_prepare`` for checks in fit."""

    _dtypes: tuple = (np.float32, np.float64)  # kept; others become the first

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Check parameters and the shape of X; learn nothing from its values, and return self.

        It sets ``n_features_in_`` (length of axis 1), ``n_leads_in_`` and ``n_samples_in_``.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records in mV, in memory or on disk.
        y : None
            Ignored.
        """
        self.__dict__.pop("_shape_out", None)  # a fit that fails below leaves it unfitted
        records = check_ecg(self, X, reset=True, dtype=self._dtypes)
        self._prepare()
        # a record of zeros gives the shape of the output
        self._shape_out = self._transform(np.zeros((1, *records.shape[1:]), np.float32)).shape[1:]
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Transform each record separately, in batches.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records in mV, of the leads and length seen in `fit`.

        Returns
        -------
        X_new : ndarray of shape (n_records, n_leads_out, n_samples_out) or (n_records, n_features)
            A new array, float64 where X is and the transformer keeps it, otherwise float32; 2-D for
            records of one lead if X was 2-D in `fit`.
        """
        check_is_fitted(self, "_shape_out")
        records = check_ecg(self, X, reset=False, dtype=self._dtypes)
        out = np.empty((len(records), *self._shape_out), records.dtype)
        start = 0
        for batch in records.batches():
            out[start : start + len(batch)] = self._transform(batch)
            start += len(batch)
        return out[:, 0] if out.ndim == 3 and self._n_dimensions_in == 2 else out

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = [np.dtype(dtype).name for dtype in self._dtypes]
        return tags

    def _prepare(self):
        """Check parameters against each other and the shape of X in `fit`."""

    @abstractmethod
    def _transform(self, x):
        """Return a new array for a batch (n, n_leads, n_samples), which stays unchanged."""


class SignalTransformer(RecordTransformer):
    """Template for transformers of signals to signals.

    Records of several leads remain arrays whatever `set_output` asks for: no table is 3-D. Leads
    that are NaN as a whole remain, for estimators with ``missing="zero"``.
    """

    missing = "lead"
    _sklearn_output_config: dict[str, str]

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Check parameters and the shape of X; learn nothing from its values, and return self.

        It sets ``n_features_in_`` (length of axis 1), ``n_leads_in_`` and ``n_samples_in_``.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records in mV, in memory or on disk.
        y : None
            Ignored.
        """
        super().fit(X, y)
        return self.set_output()

    def set_output(self, *, transform: str | None = None) -> Self:
        """Set the container of the output of records of one lead (2-D), and return self.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            The container. None keeps it.
        """
        config = getattr(self, "_sklearn_output_config", {})  # scikit-learn clones it
        container = transform or config.get("container")
        is_table = getattr(self, "_n_dimensions_in", None) != 3
        config = {"container": container, "transform": container if is_table else "default"}
        self._sklearn_output_config = {key: value for key, value in config.items() if value}
        return self

    def get_feature_names_out(self, input_features: types.Names | None = None) -> np.ndarray:
        """Return names along the second axis of the output: leads in 3-D, samples in 2-D.

        These are the `input_features`, by default those seen in `fit` or x0, x1, ..., or the names
        of selected leads, or numbered ones for new samples.
        """
        check_is_fitted(self, "_shape_out")
        names = self._check_names_in(input_features, generate_names=True)
        if self._n_dimensions_in == 3:
            return self._lead_names_out(names)
        if self._shape_out[-1] == self.n_samples_in_:
            return names
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}{i}" for i in range(self._shape_out[-1])], dtype=object)

    def _lead_names_out(self, names):
        return names
