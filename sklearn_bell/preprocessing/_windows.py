"""Windows of long records, and their predictions pooled by record."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval, validate_parameter_constraints

from sklearn_bell._utils.validation import open_signals
from sklearn_bell.exceptions import InvalidECGError

_POSITIVE = Interval(Real, 0, None, closed="neither")


@dataclass
class Windows:
    """Cut records into windows, and pool predictions of windows by record.

    A transformer cannot change the number of records, so this is none: call `cut` before `fit` and
    `predict_proba`, with the labels and patients of the windows, then `pool`.

    Parameters
    ----------
    duration : float, default=10.0
        Length of the windows in s.
    step : float, default=None
        From the beginning of a window to that of the next one in s. None is `duration`. An
        incomplete window at the end is dropped.
    sampling_rate : float, default=100
        Sampling rate of X in Hz.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_bell.preprocessing import Windows
    >>> X = np.arange(2 * 3000.0).reshape(2, 1, 3000)  # 30 s
    >>> windows = Windows(duration=10)
    >>> X_windows, record = windows.cut(X)
    >>> X_windows.shape, record
    ((6, 1, 1000), array([0, 0, 0, 1, 1, 1]))
    >>> windows.pool(X_windows.mean(axis=(1, 2)), record)
    array([1499.5, 4499.5])
    """

    duration: float = 10.0
    step: float | None = None
    sampling_rate: float = 100

    _constraints: ClassVar[dict] = {
        "duration": [_POSITIVE],
        "step": [_POSITIVE, None],
        "sampling_rate": [_POSITIVE],
    }

    def cut(self, X: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return the windows of all records, and the row of X of each.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records in mV, at least as long as a window. A lead may be NaN as a whole.

        Returns
        -------
        X_windows : ndarray of shape (n_windows, n_leads, n_samples_of_window), float32
            Windows, record by record; 2-D if X is. Labels are ``y[record]``, patients
            ``groups[record]``.
        record : ndarray of shape (n_windows,)
            Row of X of each window.

        Raises
        ------
        InvalidECGError
            If X is invalid, or if a window is longer than the records.
        """
        validate_parameter_constraints(self._constraints, vars(self), type(self).__name__)
        records = open_signals(X, missing="lead")
        x = records[:]  # (n_records, n_leads, n_samples)
        width, step = (round(s * self.sampling_rate) for s in (self.duration, self._step))
        if not 0 < width <= x.shape[-1] or step < 1:
            raise InvalidECGError(
                f"Expected windows of 1 to {x.shape[-1]} samples and steps of at least one, got "
                f"{width} and {step} at {self.sampling_rate:g} Hz."
            )
        starts = np.arange(0, x.shape[-1] - width + 1, step)
        windows = np.stack([x[..., start : start + width] for start in starts], axis=1)
        windows = windows.reshape(-1, *x.shape[1:-1], width)
        record = np.repeat(np.arange(len(x)), len(starts))
        return (windows if records.ndim == 3 else windows[:, 0]), record

    def pool(self, values: ArrayLike, record: ArrayLike) -> np.ndarray:
        """Return the mean of the values of each record's windows, such as probabilities.

        Parameters
        ----------
        values : array-like of shape (n_windows, ...)
            Such as the output of ``predict_proba``.
        record : array-like of shape (n_windows,)
            Row of X of each window, from `cut`; or its name, as in ``record_names`` of
            :func:`~sklearn_bell.datasets.read_ecg` with `step`.

        Returns
        -------
        means : ndarray of shape (n_records, ...)
            In the order of rows, or of the first window of each name. NaN for rows without windows,
            before the last one.

        Raises
        ------
        InvalidECGError
            If `values` and `record` differ in length, or if `record` has neither rows nor names.
        """
        values, record = np.asarray(values, float), np.asarray(record)
        if len(values) != len(record):
            raise InvalidECGError(
                f"Expected a value for each of {len(record)} windows, got {len(values)}."
            )
        if record.dtype.kind in "UO":
            record = np.asarray(pd.factorize(record)[0])  # in order of appearance
        if record.dtype.kind not in "iu" or not len(record) or record.min() < 0:
            raise InvalidECGError(
                "Expected the row of X (0, 1, ...), or the name, of the record of each window, got "
                f"{record.dtype} of shape {record.shape}. Pass the second result of cut."
            )
        sums = np.zeros((record.max() + 1, *values.shape[1:]))
        np.add.at(sums, record, values)
        counts = np.bincount(record).reshape(-1, *[1] * (values.ndim - 1))
        with np.errstate(invalid="ignore"):
            return sums / counts

    @property
    def _step(self):
        return self.duration if self.step is None else self.step
