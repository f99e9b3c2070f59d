"""The one place where an array becomes records.

Everything in this library works on ``(n_records, n_leads, n_samples)``. :func:`check_ecg` turns
what a user gives into :class:`Records`, which is read by slices, so that an array on disk is never
held whole.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.utils.validation import validate_data

from sklearn_bell.exceptions import InvalidECGError

_ROWS_PER_CHECK = 256  # rows whose values are looked at together: a few MB of 12 x 1000 records


class ECGInputMixin:
    """Declare that an estimator takes 3-D X (records of several leads) and 2-D X (of one lead)."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = True
        return tags


class Records:
    """Records that are read by rows, as finite floating-point ``(n, n_leads, n_samples)``.

    Parameters
    ----------
    source : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
        Anything with a shape and a dtype whose slices are arrays.
    dtype : tuple of dtype
        The dtypes that rows may have; rows of another dtype are converted to the first.
    """

    def __init__(self, source, dtype):
        self.source = source
        self.ndim = len(source.shape)
        self.dtype = np.dtype(source.dtype if source.dtype in dtype else dtype[0])
        self.shape = source.shape if self.ndim == 3 else (source.shape[0], 1, source.shape[1])
        self._checked = False  # whether all values are known to be finite

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        """Return the records at ``rows``, a slice or an array of row numbers, in that order."""
        if isinstance(rows, slice) or isinstance(self.source, np.ndarray):
            values = self.source[rows]
        else:  # h5py and its kind want increasing row numbers
            order = np.argsort(rows)
            values = np.asarray(self.source[np.asarray(rows)[order]])[np.argsort(order)]
        with np.errstate(over="ignore"):  # what overflows becomes infinite, and is told below
            values = np.asarray(values, dtype=self.dtype)
        values = values.reshape(len(values), *self.shape[1:])
        if not self._checked:
            finite = np.isfinite(values)
            if not finite.all():
                record, lead, sample = np.argwhere(~finite)[0]
                row = np.arange(len(self))[rows][record]
                what = "NaN" if np.isnan(values[record, lead, sample]) else "infinity"
                raise InvalidECGError(
                    f"Input X contains {what}, or a value too large for {self.dtype}: first in "
                    f"record {row}, lead {lead}, sample {sample}. Leave such records out, or fill "
                    "their gaps, before."
                )
        return values

    def batches(self, n_rows=_ROWS_PER_CHECK):
        """Yield the records in order, ``n_rows`` at a time."""
        for start in range(0, len(self), n_rows):
            yield self[start : start + n_rows]


def check_ecg(estimator, X, *, reset, dtype=(np.float32,), min_records=1):
    """Check X as scikit-learn does, and return it as :class:`Records`.

    Shape and dtype are checked at once. The values of an array in memory too; those of an array on
    disk (memory-mapped, h5py, zarr, whatever is read by slices) when they are read.

    Parameters
    ----------
    estimator : estimator instance
        Gets ``n_features_in_`` (the number of leads of a 3-D X, of samples of a 2-D X),
        ``n_leads_in_`` and ``n_samples_in_`` where `reset`, and is compared with them where not.
    X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
        A 2-D X holds records of one lead.
    reset : bool
        True in ``fit``.
    dtype : tuple of dtype, default=(np.float32,)
        The dtypes that are left as they are; others become the first.
    min_records : int, default=1
        The least number of records.

    Returns
    -------
    records : Records

    Raises
    ------
    InvalidECGError
        A ``ValueError`` that says what was given and what was expected.
    """
    by_slices = _is_read_by_slices(X)
    # zero strides: the shape and dtype of X without its values
    checked = np.broadcast_to(np.zeros((), X.dtype), X.shape) if by_slices else X
    name = type(estimator).__name__
    expected = "X of shape (n_records, n_leads, n_samples), or (n_records, n_samples) for one lead"
    n_dimensions = getattr(X, "ndim", None)
    if n_dimensions not in (None, 2, 3) and X.dtype != object:
        raise InvalidECGError(
            f"{name} expected {expected}, but got {n_dimensions} dimension(s). Reshape your data."
        )
    try:
        if not reset:
            checked = _as_fitted(estimator, checked)
        checked = validate_data(
            estimator,
            checked,
            reset=reset,
            allow_nd=True,
            ensure_all_finite=False,
            ensure_min_samples=min_records,
        )
    except ValueError as error:
        raise InvalidECGError(_explain(estimator, X, error)) from error
    if checked.ndim > 3 or 0 in checked.shape:
        raise InvalidECGError(
            f"{name} expected {expected}, each at least 1, but got {checked.shape}."
        )
    if by_slices:
        checked = X.reshape(checked.shape) if isinstance(X, np.ndarray) else X
    records = Records(checked, dtype)
    if not by_slices:
        for _ in records.batches():
            pass
        records._checked = True
    n_leads, n_samples = records.shape[1:]
    if reset:
        estimator.n_leads_in_, estimator.n_samples_in_ = n_leads, n_samples
        estimator._n_dimensions_in = records.ndim
    elif n_samples != estimator.n_samples_in_:
        raise InvalidECGError(
            f"X has records of {n_samples} samples, but {name} was fitted on records of "
            f"{estimator.n_samples_in_}; bring them to the same rate with Resampler and to the "
            "same length with Cropper."
        )
    return records


def _is_read_by_slices(X):
    """Whether X is on disk: memory-mapped, or not an array but with a numpy dtype and slices."""
    if isinstance(X, np.ndarray):
        return isinstance(X, np.memmap)
    return (
        isinstance(getattr(X, "dtype", None), np.dtype)
        and hasattr(X, "shape")
        and hasattr(X, "__getitem__")
        and not hasattr(X, "iloc")
        and not sparse.issparse(X)
    )


def _as_fitted(estimator, X):
    """One lead in as many dimensions as ``fit`` has seen, so that either form may follow."""
    if not hasattr(X, "shape"):
        X = np.asarray(X)
    shape = X.shape
    if len(shape) == 3 and shape[1] == 1 and estimator._n_dimensions_in == 2:
        return np.asarray(X)[:, 0]
    if len(shape) == 2 and estimator._n_dimensions_in == 3 and estimator.n_leads_in_ == 1:
        return np.asarray(X)[:, None]
    return X


def _explain(estimator, X, error):
    """Say in records and leads what scikit-learn says in samples and features."""
    message, shape = str(error), tuple(getattr(X, "shape", ()))
    n_leads = getattr(estimator, "n_leads_in_", None)
    if len(shape) in (2, 3) and "is expecting" in message:
        given = shape[1] if len(shape) == 3 else 1
        if given != n_leads:
            return (
                f"X has {shape[0]} records of {given} lead(s), but {type(estimator).__name__} was "
                f"fitted on {n_leads} lead(s); select the same leads with LeadSelector."
            )
    if "inhomogeneous" in message or "setting an array element" in message:
        return (
            "X must be one array of shape (n_records, n_leads, n_samples), but its records differ "
            f"in shape or are not numbers ({message}). Bring all to one length with read_wfdb or "
            "Cropper."
        )
    if "sample(s)" in message:
        message += " (To scikit-learn a record is a sample.)"
    return message
