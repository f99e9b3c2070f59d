"""The one place where an array becomes records.

Everything in this library works on ``(n_records, n_leads, n_samples)``. :func:`check_ecg` turns
what a user gives into :class:`Records`, which is read by slices, so that an array on disk is never
held whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.validation import validate_data

from sklearn_bell.exceptions import InvalidECGError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_LARGEST = 1e12  # of values: the squares of larger ones leave float32, and ADCs have 32 bits
_ROWS_PER_CHECK = 256  # rows whose values are looked at together: a few MB of 12 x 1000 records
_BYTES_AT_ONCE = 2**26  # of what is stored in chunks
_BLOCKS_AT_ONCE = 8


class ECGInputMixin:
    """Declare that an estimator takes 3-D X (records of several leads) and 2-D X (of one lead)."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = True
        return tags


class AxisNames(NamedTuple):
    """What the axes of X are, and what errors call them and advise."""

    expected: str
    axes: tuple[str, str, str]
    fitted: tuple[str, str]  # attributes for the sizes of the last two
    n_rows: str
    n_columns: str
    other_rows: str
    other_columns: str
    other_shapes: str


_ECG = AxisNames(
    expected="X of shape (n_records, n_leads, n_samples), or (n_records, n_samples) for one lead",
    axes=("record", "lead", "sample"),
    fitted=("n_leads_in_", "n_samples_in_"),
    n_rows="lead(s)",
    n_columns="samples",
    other_rows="select the same leads with LeadSelector",
    other_columns="bring them to the same rate with Resampler and to the same length with Cropper",
    other_shapes="Bring all to one length with read_wfdb or Cropper",
)
_IMAGES = AxisNames(
    expected="grey images X of shape (n_images, height, width), or (n_images, width) of one line",
    axes=("image", "line", "column"),
    fitted=("height_in_", "width_in_"),
    n_rows="line(s)",
    n_columns="columns",
    other_rows="make them of the same height",
    other_columns="make them of the same width",
    other_shapes="Make all of one height and width",
)


class Records:
    """Records that are read by rows, as finite floating-point ``(n, n_leads, n_samples)``.

    Parameters
    ----------
    source : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
        Anything with a shape and a dtype whose slices are arrays.
    dtype : tuple of dtype
        The dtypes that rows may have; rows of another dtype are converted to the first.
    words : AxisNames
        For errors.
    missing : {"error", "zero"} or None
        Whether leads that are NaN as a whole become zeros. None is "error", where there is no
        choice that an error could tell of.
    """

    def __init__(self, source, dtype, words=_ECG, missing=None):
        self.source, self.words, self.missing = source, words, missing
        self.ndim = len(source.shape)
        self.dtype = np.dtype(source.dtype if source.dtype in dtype else dtype[0])
        self.shape = source.shape if self.ndim == 3 else (source.shape[0], 1, source.shape[1])
        self._checked = False  # whether all values are known to be finite

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        """Return the records at ``rows``, a slice or an array of row numbers, in that order."""
        with np.errstate(over="ignore"):  # what overflows becomes infinite, and is told below
            if isinstance(rows, slice) or isinstance(self.source, np.ndarray):
                values = np.asarray(self.source[rows], dtype=self.dtype)
            else:
                values = self._by_blocks(np.asarray(rows))
        values = values.reshape(len(values), *self.shape[1:])
        if self.missing == "zero":
            gone = np.isnan(values).all(axis=-1, keepdims=True)
            values = np.where(gone, 0, values) if gone.any() else values
        if not self._checked and len(values) and not are_usual(values):
            first = np.argwhere(~(np.abs(values) <= _LARGEST))[0]
            what = _called(values[tuple(first)])
            first_of_all = tuple(first[:2])
            first[0] = np.arange(len(self))[rows][first[0]]
            axes = zip(self.words.axes, first, strict=True)
            where = ", ".join(f"{axis} {number}" for axis, number in axes)
            raise InvalidECGError(
                f"Input X contains {what}: first in {where}. Leave such {self.words.axes[0]}s "
                f"out, or fill their gaps, before.{self._advice(values[first_of_all])}"
            )
        return values

    def _advice(self, row):
        if self.missing == "error" and np.isnan(row).all():
            return " missing='zero' takes a lead that is missing as a whole for a flat one."
        return ""

    def _by_blocks(self, rows):
        """Read rows by slices, one for each block: that is quick, and all that a source must do."""
        order = np.argsort(rows)
        blocks = rows[order] // self.rows_of_block
        values = np.empty((len(rows), *self.source.shape[1:]), self.dtype)
        for there in np.split(order, np.flatnonzero(np.diff(blocks)) + 1):
            if len(there):
                first, last = rows[there[0]], rows[there[-1]]
                values[there] = np.asarray(self.source[first : last + 1])[rows[there] - first]
        return values

    @property
    def rows_of_block(self):
        """How many rows are best read together: those of a chunk, as of HDF5 and zarr, or 1.

        Where a chunk has too many, since it does not hold whole records, it is a part of them.
        """
        n_rows = (getattr(self.source, "chunks", None) or (1,))[0]
        n_rows = n_rows if isinstance(n_rows, int) else max(n_rows)  # dask tells of every chunk
        return -(-n_rows // -(-n_rows // self._rows_of(_BYTES_AT_ONCE)))

    @property
    def rows_at_once(self):
        """How many rows of several blocks are read at once, so that they can be shuffled."""
        n_blocks = self._rows_of(_BYTES_AT_ONCE) // self.rows_of_block
        return self.rows_of_block * min(n_blocks, _BLOCKS_AT_ONCE)

    def _rows_of(self, n_bytes):
        return max(1, n_bytes // (self.dtype.itemsize * self.shape[1] * self.shape[2]))

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
        Its parameter ``missing``, if it has one, tells what to do with leads that are NaN.
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
    return _check(estimator, X, _ECG, reset, dtype, min_records)


def check_signals(X: ArrayLike) -> np.ndarray:
    """Check the X of a function, which has fitted nothing, and return it in three dimensions.

    Parameters
    ----------
    X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)

    Returns
    -------
    X : ndarray of shape (n_records, n_leads, n_samples), dtype float32

    Raises
    ------
    InvalidECGError
        A ``ValueError`` that says what was given and what was expected.
    """
    X = np.asarray(X)
    if X.ndim not in (2, 3) or 0 in X.shape or X.dtype.kind not in "iuf":
        raise InvalidECGError(
            "Expected numbers of shape (n_records, n_leads, n_samples) or (n_records, n_samples), "
            f"each at least 1, but got {X.dtype} of shape {X.shape}."
        )
    if not are_usual(X):
        X = X.astype(float)
        first = np.argwhere(~(np.abs(X) <= _LARGEST))[0]
        what = _called(X[tuple(first)])
        raise InvalidECGError(f"Input X contains {what}: first in record {first[0]}.")
    return X.reshape(len(X), -1, X.shape[-1]).astype(np.float32, copy=False)


def are_usual(values):
    """Return whether all values are numbers that can be computed with, squares included."""
    return values.min() >= -_LARGEST and values.max() <= _LARGEST  # NaN is neither


def _called(value):
    """Return what a value is that cannot be computed with."""
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return f"infinity, or a value too large for {value.dtype}"
    return f"{value:.3g}, which is too large: {_LARGEST:.0e} is the most that is computed with"


def check_groups(groups, n_records):
    """Return the number of the patient of each record; None takes every record for a patient.

    Raises
    ------
    InvalidECGError
        A ``ValueError``: if they are not one for each record, or some are missing.
    """
    if groups is None:
        return np.arange(n_records)
    groups = np.asarray(groups, dtype=object)
    if groups.shape != (n_records,):
        raise InvalidECGError(
            f"groups has shape {groups.shape}, but there are {n_records} records: name the patient "
            "of each."
        )
    if pd.isna(groups).any():
        raise InvalidECGError(
            f"groups must name the patient of each record, but {pd.isna(groups).sum()} are missing."
        )
    return pd.factorize(groups, sort=True)[0]


def check_images(estimator, X, *, reset, dtype=(np.float32,), min_records=1):
    """Check grey images, one of which is a record of :class:`Records`, as :func:`check_ecg` does.

    Their sizes become ``height_in_`` and ``width_in_``.
    """
    return _check(estimator, X, _IMAGES, reset, dtype, min_records)


def _check(estimator, X, words, reset, dtype, min_records):
    if np.ma.is_masked(X):  # numpy would give what is behind the mask
        X = np.ma.filled(X.astype(float), np.nan)
    by_slices = _is_read_by_slices(X)
    # zero strides: the shape and dtype of X without its values
    checked = np.broadcast_to(np.zeros((), X.dtype), X.shape) if by_slices else X
    name = type(estimator).__name__
    n_dimensions = getattr(X, "ndim", None)
    if n_dimensions not in (None, 2, 3) and X.dtype != object:
        raise InvalidECGError(
            f"{name} expected {words.expected}, but got {n_dimensions} dimension(s). Reshape your "
            "data."
        )
    try:
        if not reset:
            checked = _as_fitted(estimator, checked, words)
        checked = validate_data(
            estimator,
            checked,
            reset=reset,
            allow_nd=True,
            ensure_all_finite=False,
            ensure_min_samples=min_records,
        )
    except ValueError as error:
        raise InvalidECGError(_explain(estimator, X, error, words)) from error
    if checked.ndim > 3 or 0 in checked.shape:
        raise InvalidECGError(
            f"{name} expected {words.expected}, each at least 1, but got {checked.shape}."
        )
    if by_slices:
        checked = X.reshape(checked.shape) if isinstance(X, np.ndarray) else X
    records = Records(checked, dtype, words, getattr(estimator, "missing", None))
    if not by_slices:
        for _ in records.batches():
            pass
        records._checked = True
    if reset:
        for attribute, size in zip(words.fitted, records.shape[1:], strict=True):
            setattr(estimator, attribute, size)
        estimator._n_dimensions_in = records.ndim
    elif records.shape[2] != (n_columns := getattr(estimator, words.fitted[1])):
        raise InvalidECGError(
            f"X has {words.axes[0]}s of {records.shape[2]} {words.n_columns}, but {name} was "
            f"fitted on {words.axes[0]}s of {n_columns}; {words.other_columns}."
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


def _as_fitted(estimator, X, words):
    """One lead in as many dimensions as ``fit`` has seen, so that either form may follow."""
    if not hasattr(X, "shape"):
        X = np.asarray(X)
    shape = X.shape
    if len(shape) == 3 and shape[1] == 1 and estimator._n_dimensions_in == 2:
        return np.asarray(X)[:, 0]
    if (
        len(shape) == 2
        and estimator._n_dimensions_in == 3
        and getattr(estimator, words.fitted[0]) == 1
    ):
        return np.asarray(X)[:, None]
    return X


def _explain(estimator, X, error, words):
    """Say in records and leads what scikit-learn says in samples and features."""
    message, shape = str(error), tuple(getattr(X, "shape", ()))
    n_rows = getattr(estimator, words.fitted[0], None)
    if len(shape) in (2, 3) and "is expecting" in message:
        given = shape[1] if len(shape) == 3 else 1
        if given != n_rows:
            return (
                f"X has {shape[0]} {words.axes[0]}s of {given} {words.n_rows}, but "
                f"{type(estimator).__name__} was fitted on {n_rows} {words.n_rows}; "
                f"{words.other_rows}."
            )
    if "inhomogeneous" in message or "setting an array element" in message:
        return (
            f"Expected {words.expected}, as one array, but the "
            f"{words.axes[0]}s differ in shape or are not numbers ({message}). "
            f"{words.other_shapes}."
        )
    if "sample(s)" in message:
        message += f" (To scikit-learn, each {words.axes[0]} is a sample.)"
    return message
