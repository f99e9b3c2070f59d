"""Random over- and under-sampling of records, the plain alternatives to synthetic ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.under_sampling.base import BaseUnderSampler
from imblearn.utils import check_sampling_strategy
from imblearn.utils._validation import ArraysTransformer
from numpy.typing import ArrayLike
from sklearn.base import _fit_context
from sklearn.utils import check_random_state

from sklearn_bell._utils import types
from sklearn_bell._utils.labels import read_indicator
from sklearn_bell._utils.validation import ECGInputMixin, check_ecg, stack_records
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.over_sampling._pairs import n_samples_to_generate


class _RandomSampler(ECGInputMixin):
    """Base class: subclasses choose rows of X and y."""

    random_state: types.RandomState
    sampling_strategy: Any
    missing = "lead"

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike) -> Any:
        """Check X, y and the strategy, and return self.

        Parameters
        ----------
        X, y : array-like
            As in `fit_resample`.
        """
        self._read(X, y)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_resample(self, X: ArrayLike, y: ArrayLike) -> tuple[Any, Any]:
        """Return the chosen records and their labels.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records. A lead may be NaN as a whole.
        y : array-like of shape (n_records,) or (n_records, n_classes)
            Classes, or an indicator of 0 and 1. Unlabelled records (-1) are kept.

        Returns
        -------
        X_resampled, y_resampled : array-like of the types of X and y
            A table or Series with a record in each cell becomes an array.

        Raises
        ------
        InvalidECGError
            If X or y are invalid, or if `sampling_strategy` does not fit the classes.
        """
        X = stack_records(X)
        input_types = ArraysTransformer(X, y)
        return input_types.transform(*self._fit_resample(*self._read(X, y)))

    def _fit_resample(self, X, y, indicator):
        self.sample_indices_ = self._choose(indicator, check_random_state(self.random_state))
        return X[self.sample_indices_], y[self.sample_indices_]

    def _read_strategy(self, y, indicator) -> dict:
        """Return numbers of records by class."""
        raise NotImplementedError

    def _choose(self, indicator, rng) -> np.ndarray:
        """Return the rows to return."""
        raise NotImplementedError

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        tags.target_tags.multi_output = True
        tags.sampler_tags.sample_indices = True
        return tags

    def _read(self, X, y):
        """Return X, y and an indicator; set `sampling_strategy_`, by class."""
        options = {"dtype": (np.float32, np.float64), "min_records": 2}
        X = self._restore_ndim(check_ecg(self, X, reset=True, **options)[:])
        y, labels, indicator = read_indicator(y, len(X))
        self._classes = labels.classes
        self.sampling_strategy_ = self._read_strategy(y[labels.rows], indicator[labels.rows])
        return X, y, indicator


@dataclass(eq=False, repr=False, kw_only=True)
class RandomOverSampler(_RandomSampler, BaseOverSampler):
    """Repeat random records of rare classes.

    Unlike imbalanced-learn's it takes records of several leads and multi-label targets: a repeated
    record counts for all of its labels.

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable, default="auto"
        As in :class:`sklearn_bell.VQVAEOverSampler`.
    random_state : int, RandomState instance or None, default=None
        Seed.

    Attributes
    ----------
    sample_indices_ : ndarray of shape (n_records_resampled,)
        Rows of X: all of them, then the repeated ones.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_bell.over_sampling import RandomOverSampler
    >>> X, y = np.zeros((5, 2, 100)), [0, 0, 0, 0, 1]
    >>> RandomOverSampler(random_state=0).fit_resample(X, y)[1]
    [0, 0, 0, 0, 1, 1, 1, 1]
    """

    sampling_strategy: Any = "auto"
    random_state: types.RandomState = None

    def _read_strategy(self, y, indicator):
        return n_samples_to_generate(self.sampling_strategy, y, indicator)

    def _choose(self, indicator, rng):
        missing = np.array([int(self.sampling_strategy_.get(name, 0)) for name in self._classes])
        rows = list(range(len(indicator)))
        for column in np.argsort(indicator.sum(axis=0)):  # the rarest first
            candidates = np.flatnonzero(indicator[:, column])
            while missing[column] > 0:
                rows.append(rng.choice(candidates))
                missing -= indicator[rows[-1]]
        return np.array(rows)


@dataclass(eq=False, repr=False, kw_only=True)
class RandomUnderSampler(_RandomSampler, BaseUnderSampler):
    """Leave random records of frequent classes out.

    Unlike imbalanced-learn's it takes records of several leads and multi-label targets: a record is
    left out only if all of its labels are too frequent.

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable, default="auto"
        As in :class:`imblearn.under_sampling.RandomUnderSampler`; multi-label classes are column
        numbers.
    random_state : int, RandomState instance or None, default=None
        Seed.

    Attributes
    ----------
    sample_indices_ : ndarray of shape (n_records_resampled,)
        Rows of X that are kept, in order.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_bell.over_sampling import RandomUnderSampler
    >>> X, y = np.zeros((5, 2, 100)), [0, 0, 0, 1, 1]
    >>> RandomUnderSampler(random_state=0).fit_resample(X, y)[1]
    [0, 0, 1, 1]
    """

    sampling_strategy: Any = "auto"
    random_state: types.RandomState = None

    _parameter_constraints = {
        **BaseUnderSampler._parameter_constraints,
        "random_state": ["random_state"],
    }

    def _read_strategy(self, y, indicator):
        classes = y if y.ndim == 1 else np.nonzero(indicator)[1]
        try:
            return check_sampling_strategy(self.sampling_strategy, classes, "under-sampling")
        except ValueError as error:
            raise InvalidECGError(str(error)) from error

    def _choose(self, indicator, rng):
        counts = indicator.sum(axis=0)
        n_kept = np.array([self.sampling_strategy_.get(name, n)
                         for name, n in zip(self._classes, counts, strict=True)])  # fmt: skip
        is_kept = np.ones(len(indicator), bool)
        for row in rng.permutation(np.flatnonzero(indicator.any(axis=1))):
            if (counts[indicator[row]] > n_kept[indicator[row]]).all():
                is_kept[row] = False
                counts -= indicator[row]
        return np.flatnonzero(is_kept)
