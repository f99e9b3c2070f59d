"""Validation of records: X becomes :class:`Records`, which reads an array on disk by slices."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import _check_feature_names_in, validate_data

from sklearn_bell._utils.plausibility import check_axes, check_values, checked_outside
from sklearn_bell.exceptions import InvalidECGError

_MAX_VALUE = 1e12  # squares of larger values overflow float32; ADCs have 32 bits
_ROWS_PER_BATCH = 256  # a few MB of records of 12 x 1000
_BYTES_AT_ONCE = 2**26  # of chunked sources
_BLOCKS_AT_ONCE = 8


class ECGInputMixin:
    """Declare that an estimator takes 3-D X (several leads) and 2-D X (one lead)."""

    _n_dimensions_in: int
    _expects_millivolts = False  # other amplitudes, and leads that contradict each other, warn

    @property
    def _known_lead_names(self):
        """Names of the leads of X, if they are known."""
        return getattr(self, "lead_names", None)

    @property
    def _expected_rate(self):
        """Sampling rate in Hz at which implausible heart rates warn, if any."""
        return getattr(self, "sampling_rate", None)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.three_d_array = True
        return tags

    def _check_names_in(self, input_features, generate_names=False):
        """Return names along the second axis of X; that of a column of records stands for them."""
        column = getattr(self, "_column_in", None)
        if column is not None and np.array_equal(np.ravel(input_features), [column]):
            input_features = None
        return _check_feature_names_in(self, input_features, generate_names=generate_names)

    def _restore_ndim(self, X):
        """Drop the second axis if X in ``fit`` had none."""
        return X[:, 0] if self._n_dimensions_in == 2 else X


class FitTransformMixin(TransformerMixin):
    """Mixin for transformers that check the records once in ``fit_transform``."""

    def fit_transform(self, X: ArrayLike, y: ArrayLike | None = None, **fit_params: Any) -> Any:
        """Fit to X and transform it.

        Parameters
        ----------
        X, y, **fit_params
            As in `fit`.

        Returns
        -------
        X_new : array-like
            As of `transform`.
        """
        self.fit(X, y, **fit_params)
        with checked_outside():
            return self.transform(X)


class AxisNames(NamedTuple):
    """Names of the axes of X, and the remedies in errors about them."""

    expected: str
    axes: tuple[str, str, str]
    fitted: tuple[str, str]  # attributes for the sizes of the last two axes
    match: tuple[str, str]
    match_shapes: str


_ECG = AxisNames(
    expected="X of shape (n_records, n_leads, n_samples), or (n_records, n_samples) for one lead",
    axes=("record", "lead", "sample"),
    fitted=("n_leads_in_", "n_samples_in_"),
    match=(
        "select the same leads with LeadSelector",
        "bring them to the same rate with Resampler and to the same length with Cropper",
    ),
    match_shapes="Bring all to one length with read_wfdb or Cropper",
)
_MAKE_TWELVE = (
    " If those of X are I, II and V1 to V6, the others follow from them: LeadSelector("
    'STANDARD_LEADS, lead_names=["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"]).'
)
_IMAGES = AxisNames(
    expected="grey images X of shape (n_images, height, width), or (n_images, width) of one line",
    axes=("image", "line", "column"),
    fitted=("height_in_", "width_in_"),
    match=("make them of the same height", "make them of the same width"),
    match_shapes="Make all of one height and width",
)


class Records:
    """Rows of X as finite floating-point arrays ``(n, n_leads, n_samples)``, read on demand.

    `source` has a shape of two or three dimensions, a dtype, and slices that are arrays. Rows of
    other dtypes are converted to the first of `dtype`. With `missing="zero"`, leads that are NaN as
    a whole become zeros; with "error", the error mentions that choice; with "lead", they remain
    in records with other leads; with "keep", every NaN remains.
    """

    def __init__(self, source, dtype, names=_ECG, missing=None):
        self.source, self.names, self.missing = source, names, missing
        self.ndim = len(source.shape)
        self.dtype = np.dtype(source.dtype if source.dtype in dtype else dtype[0])
        self.shape = source.shape if self.ndim == 3 else (source.shape[0], 1, source.shape[1])
        self._all_checked = False

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        """Return the records at ``rows``, a slice or an array of row numbers, in that order."""
        with np.errstate(over="ignore"):  # an overflow becomes infinite, which is reported below
            if isinstance(rows, slice) or isinstance(self.source, np.ndarray):
                values = np.asarray(self.source[rows], dtype=self.dtype)
            else:
                values = self._read_by_blocks(np.asarray(rows))
        values = values.reshape(len(values), *self.shape[1:])
        if self.missing == "zero":
            is_missing = np.isnan(values).all(axis=-1, keepdims=True)
            values = np.where(is_missing, 0, values) if is_missing.any() else values
        if not self._all_checked:
            self._check_values(values, rows)
        return values

    def _check_values(self, values, rows):
        if not values.size or (values.min() >= -_MAX_VALUE and values.max() <= _MAX_VALUE):
            return  # NaN fails both comparisons
        is_valid, is_missing = np.abs(values) <= _MAX_VALUE, np.isnan(values)
        if self.missing == "lead":
            is_missing &= is_missing.all(axis=-1, keepdims=True)
            is_missing &= ~is_missing.all(axis=(1, 2), keepdims=True)
        if self.missing in ("lead", "keep"):
            is_valid |= is_missing
            if is_valid.all():
                return
        position = tuple(np.argwhere(~is_valid)[0])
        value = values[position]
        description = f"{value:.3g}, which is too large: the limit is {_MAX_VALUE:.0e}"
        if not np.isfinite(value):
            too_large = f"infinity, or a value too large for {value.dtype}"
            description = "NaN" if np.isnan(value) else too_large
        numbers = np.arange(len(self))[rows][position[0]], *position[1:]
        where = ", ".join(f"{axis} {n}" for axis, n in zip(self.names.axes, numbers, strict=True))
        advice = ""
        if self.missing == "error" and np.isnan(values[position[:2]]).all():
            advice = " Or set missing='zero' to replace a missing lead by zeros."
        raise InvalidECGError(
            f"Input X contains {description}: first in {where}. Remove such {self.names.axes[0]}s "
            f"or fill their gaps first.{advice}"
        )

    def _read_by_blocks(self, rows):
        """Read one slice per block, which is fast and all that a source must support."""
        order = np.argsort(rows)
        blocks = rows[order] // self.rows_of_block
        values = np.empty((len(rows), *self.source.shape[1:]), self.dtype)
        for positions in np.split(order, np.flatnonzero(np.diff(blocks)) + 1):
            if len(positions):
                first, last = rows[positions[0]], rows[positions[-1]]
                block = np.asarray(self.source[first : last + 1])
                values[positions] = block[rows[positions] - first]
        return values

    @property
    def rows_of_block(self):
        """Number of rows to read together: of a chunk (HDF5, zarr), or of a part of a large one."""
        n_rows = (getattr(self.source, "chunks", None) or (1,))[0]
        n_rows = n_rows if isinstance(n_rows, int) else max(n_rows)  # dask lists every chunk
        return -(-n_rows // -(-n_rows // self._max_rows()))

    @property
    def rows_at_once(self):
        """Number of rows in several blocks that are read at once to be shuffled."""
        return self.rows_of_block * min(self._max_rows() // self.rows_of_block, _BLOCKS_AT_ONCE)

    def _max_rows(self):
        return max(1, _BYTES_AT_ONCE // (self.dtype.itemsize * self.shape[1] * self.shape[2]))

    def batches(self, n_rows=_ROWS_PER_BATCH):
        """Yield the records in order, ``n_rows`` at a time."""
        for start in range(0, len(self), n_rows):
            yield self[start : start + n_rows]


def check_signals(X: ArrayLike) -> np.ndarray:
    """Validate the X of a function and return it as 3-D float32, or raise InvalidECGError."""
    return open_signals(X)[:]


def open_signals(X, missing=None):
    """Validate the X of a function and return it as :class:`Records` of float32."""
    return check_ecg(Function(missing), X, reset=True)


class Function(ECGInputMixin, BaseEstimator):
    """Stand-in of functions for the estimator that check_ecg validates X for."""

    def __init__(self, missing=None):
        self.missing = missing


def check_groups(groups, n_records, remedy="Give the patient of each record."):
    """Return the number of each record's patient, in sorted order; None makes each a patient."""
    if groups is None:
        return np.arange(n_records)
    groups = np.asarray(groups, dtype=object)
    if groups.shape != (n_records,):
        raise InvalidECGError(
            f"groups has shape {groups.shape}, but there are {n_records} records. {remedy}"
        )
    is_missing = pd.isna(groups)
    if is_missing.any():
        raise InvalidECGError(
            f"Expected the patient of each record in groups, but {is_missing.sum()} are missing, "
            f"first that of record {is_missing.argmax()}. Fill them in or remove these records."
        )
    return pd.factorize(groups, sort=True)[0]


def check_ecg(estimator, X, *, reset, dtype=(np.float32,), min_records=1, names=_ECG):
    """Validate the X of an estimator and return :class:`Records`, or raise InvalidECGError.

    With `reset`, as in ``fit``, the sizes of X become ``n_features_in_`` (length of the second
    axis), ``n_leads_in_`` and ``n_samples_in_``; otherwise X must match them. Arrays in memory are
    checked at once; the values of an array on disk (memory map, h5py, zarr) when they are read. An
    estimator may have a parameter ``missing``; for it and `dtype` see :class:`Records`.
    """
    if isinstance(X, Mapping) and not sparse.issparse(X):
        raise InvalidECGError(
            f"{type(estimator).__name__} expected an array of records, but got a "
            f"{type(X).__name__}. Pass its data, such as X.data of a Bunch."
        )
    column, X = (
        next(iter(getattr(X, "columns", [getattr(X, "name", None)])), None),
        stack_records(X),
    )
    if np.ma.is_masked(X):  # NumPy would return the values behind the mask
        X = np.ma.filled(X.astype(float), np.nan)
    by_slices = _is_read_by_slices(X)
    # zero strides: the shape and dtype of X without its values
    checked = np.broadcast_to(np.zeros((), X.dtype), X.shape) if by_slices else X
    estimator_name = type(estimator).__name__
    n_dimensions = getattr(X, "ndim", None)
    if n_dimensions not in (None, 2, 3) and X.dtype != object:
        raise InvalidECGError(
            f"{estimator_name} expected {names.expected}, but got {n_dimensions} dimension(s). "
            "Reshape your data."
        )
    try:
        if not reset:
            checked = _match_dimensions(estimator, checked, names)
        checked = validate_data(
            estimator, checked, reset=reset, allow_nd=True, ensure_all_finite=False,
            ensure_min_samples=min_records,
        )  # fmt: skip
    except ValueError as error:
        raise InvalidECGError(_translate(error, estimator, X, names)) from error
    if checked.ndim > 3 or 0 in checked.shape:
        raise InvalidECGError(
            f"{estimator_name} expected {names.expected}, each at least 1, but got {checked.shape}."
        )
    source = X if by_slices else checked
    records = Records(source, dtype, names, getattr(estimator, "missing", None))
    if names is _ECG:
        check_axes(records)
    if not by_slices:
        for _ in records.batches():
            pass
        records._all_checked = True
    if reset:
        for attribute, size in zip(names.fitted, records.shape[1:], strict=True):
            setattr(estimator, attribute, size)
        estimator._n_dimensions_in, estimator._column_in = records.ndim, column
    elif records.shape[2] != (n_columns := getattr(estimator, names.fitted[1])):
        raise InvalidECGError(
            f"X has {names.axes[0]}s of {records.shape[2]} {names.axes[2]}s, but {estimator_name} "
            f"was fitted on {names.axes[0]}s of {n_columns}; {names.match[1]}."
        )
    if names is _ECG and getattr(estimator, "_expects_millivolts", False):
        check_values(records, estimator._known_lead_names, estimator._expected_rate)
    return records


#: Validates grey images like check_ecg, with ``height_in_`` and ``width_in_``.
check_images = partial(check_ecg, names=_IMAGES)


def _is_read_by_slices(X):
    """Return True for memory maps and other array-likes with a NumPy dtype and slices."""
    if isinstance(X, np.ndarray):
        return isinstance(X, np.memmap)
    has_slices = hasattr(X, "shape") and hasattr(X, "__getitem__") and not hasattr(X, "iloc")
    has_dtype = isinstance(getattr(X, "dtype", None), np.dtype)
    return has_dtype and has_slices and not sparse.issparse(X)


def stack_records(X):
    """Return one array of records in a list, an object array, a Series or a column of a table."""
    if getattr(X, "ndim", None) == 2 and hasattr(X, "iloc") and X.shape[1] == 1:
        X = X.iloc[:, 0] if X.dtypes.iloc[0].kind == "O" else X
    dtype = getattr(X, "dtype", None)
    if getattr(X, "ndim", None) != 1 or getattr(dtype, "kind", None) != "O" or not len(X):
        return X
    records = [np.asarray(record) for record in X]
    is_equal = len({record.shape for record in records}) == 1
    return np.stack(records) if is_equal and records[0].ndim in (1, 2) else X


def _match_dimensions(estimator, X, names):
    """Give one lead as many dimensions as in ``fit``, so that either form is accepted."""
    X = X if hasattr(X, "shape") else np.asarray(X)
    shape, n_fitted = X.shape, estimator._n_dimensions_in
    if len(shape) == 3 and shape[1] == 1 and n_fitted == 2:
        return np.asarray(X)[:, 0]
    if len(shape) == 2 and n_fitted == 3 and getattr(estimator, names.fitted[0]) == 1:
        return np.asarray(X)[:, None]
    return X


def _translate(error, estimator, X, names):
    """Rephrase an error of scikit-learn in records and leads."""
    message, shape = str(error), tuple(getattr(X, "shape", ()))
    n_fitted = getattr(estimator, names.fitted[0], None)
    n_rows = shape[1] if len(shape) == 3 else 1
    fitted = n_fitted, getattr(estimator, names.fitted[1], None)
    if shape == fitted and n_fitted != 1:
        return f"X has the shape {shape} of one {names.axes[0]}. Pass X[None]."
    if shape[1:] == fitted[::-1]:
        return f"X has the shape {shape}: its axes are exchanged. Pass X.transpose(0, 2, 1)."
    if len(shape) in (2, 3) and "is expecting" in message and n_rows != n_fitted:
        return (
            f"X has {shape[0]} {names.axes[0]}s of {n_rows} {names.axes[1]}(s), but "
            f"{type(estimator).__name__} was fitted on {n_fitted} {names.axes[1]}(s); "
            f"{names.match[0]}."
            + (_MAKE_TWELVE if names is _ECG and (n_rows, n_fitted) == (8, 12) else "")
        )
    if "inhomogeneous" in message or "setting an array element" in message:
        return (
            f"Expected {names.expected}, as one array, but the {names.axes[0]}s differ in shape or "
            f"are not numbers ({message}). {names.match_shapes}."
        )
    if "sample(s)" in message:
        message += f" (Each {names.axes[0]} is a sample to scikit-learn.)"
    return message
