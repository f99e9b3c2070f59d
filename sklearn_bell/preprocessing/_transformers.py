"""Transformers of signals: leads, sampling rate, frequency band, scale and length."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_bell._utils import leads as _leads
from sklearn_bell._utils.signal import bandpass, fill_gaps, find_gaps, resample
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.preprocessing._base import SignalTransformer

if TYPE_CHECKING:
    from sklearn_bell._utils import types

_POSITIVE = Interval(Real, 0, None, closed="neither")
_COUNT = Interval(Integral, 1, None, closed="left")


@dataclass(eq=False, repr=False)
class LeadSelector(SignalTransformer):
    """Select leads by name, in a given order; compute limb leads that are not there.

    From two limb leads follow the others: III = II - I, aVR = -(I + II) / 2, aVL = I - II / 2 and
    aVF = II - I / 2. So eight leads of a hospital's export (I, II, V1 to V6) become twelve by
    ``LeadSelector(STANDARD_LEADS, lead_names=["I", "II", "V1", ...])``.

    Parameters
    ----------
    leads : array-like of str, default=None
        Names of the selected leads, in order and any case. None keeps all leads.
        ``INDEPENDENT_LEADS`` are the eight that determine all twelve.
    lead_names : array-like of str, default=STANDARD_LEADS
        Names of the leads of X, in order. Ignored if `leads` is None.

    Attributes
    ----------
    derived_leads_ : dict
        Formulas of leads that X does not have, such as ``{"III": "II - I"}``.

    Raises
    ------
    InvalidECGError
        In `fit`: for empty or unknown `leads`, or unless `lead_names` name each lead of X once.

    Examples
    --------
    >>> from sklearn_bell.preprocessing import LeadSelector
    >>> X = [[[1, 1, 1], [2, 2, 2], [3, 3, 3]]]
    >>> LeadSelector(["v1", "AVR"], lead_names=["II", "aVR", "V1"]).fit_transform(X)
    array([[[3., 3., 3.],
            [2., 2., 2.]]], dtype=float32)
    >>> selector = LeadSelector(["III"], lead_names=["I", "II", "V1"]).fit(X)
    >>> selector.derived_leads_, selector.transform(X)
    ({'III': 'II - I'}, array([[[1., 1., 1.]]], dtype=float32))
    """

    leads: types.Names | None = None
    lead_names: types.Names = _leads.STANDARD_LEADS

    _parameter_constraints = {"leads": ["array-like", None], "lead_names": ["array-like"]}

    def _prepare(self):
        self._mixture, self.derived_leads_ = None, {}
        if self.leads is not None:
            if len(self.leads) == 0:
                raise InvalidECGError("leads is empty. Name at least one, or set None to keep all.")
            names = _leads.check_lead_names(self.lead_names, self.n_leads_in_)
            self._mixture = _leads.mix_leads(self.leads, names)
            self.derived_leads_ = self._mixture.formulas

    def _transform(self, x):
        return x.copy() if self._mixture is None else self._mixture(x)

    def _lead_names_out(self, names):
        if self.leads is None:
            return names
        return np.array([_leads.standard_name(lead) for lead in self.leads], dtype=object)


@dataclass(eq=False, repr=False)
class Resampler(SignalTransformer):
    """Change the sampling rate, with a polyphase filter against aliasing.

    A record of ``n`` samples becomes one of ``round(n * sampling_rate_out / sampling_rate_in)``.

    Parameters
    ----------
    sampling_rate_in, sampling_rate_out : float, default=500, 100
        Sampling rates of X and of the output in Hz.

    Raises
    ------
    InvalidECGError
        In `fit`: if the sampling rates differ by more than a factor of 1000.

    Examples
    --------
    >>> from sklearn_bell.preprocessing import Resampler
    >>> Resampler(500, 100).fit_transform([[1.0] * 10])
    array([[1., 1.]])
    """

    sampling_rate_in: float = 500
    sampling_rate_out: float = 100

    _parameter_constraints = {"sampling_rate_in": [_POSITIVE], "sampling_rate_out": [_POSITIVE]}

    def _prepare(self):
        if not 1e-3 <= self.sampling_rate_out / self.sampling_rate_in <= 1e3:
            rates = f"{self.sampling_rate_in} and {self.sampling_rate_out} Hz"
            raise InvalidECGError(f"Expected rates within a factor of 1000, got {rates}.")

    def _transform(self, x):
        return resample(x, self.sampling_rate_in, self.sampling_rate_out)


@dataclass(eq=False, repr=False)
class BandpassFilter(SignalTransformer):
    """Remove baseline wander and mains hum by a band-pass filter without delay.

    A Butterworth filter runs forwards and backwards, which halves the amplitude at both cut-offs
    and doubles the order. Mirror images extend records by a period of `low`, or as far as they go.

    Parameters
    ----------
    sampling_rate : float, default=100
        Sampling rate of X in Hz.
    low, high : float, default=0.5, 40.0
        Cut-offs in Hz, below half the sampling rate.
    order : int, default=2
        Order of the filter in one direction.

    Raises
    ------
    InvalidECGError
        In `fit`: unless ``low < high < sampling_rate / 2``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_bell.preprocessing import BandpassFilter
    >>> wander = np.cos(np.pi * np.arange(1000) / 500)  # 0.1 Hz
    >>> print(np.abs(BandpassFilter().fit_transform([wander])).max().round(2))
    0.0
    """

    sampling_rate: float = 100
    low: float = 0.5
    high: float = 40.0
    order: int = 2

    _parameter_constraints = {
        **{name: [_POSITIVE] for name in ("sampling_rate", "low", "high")},
        "order": [_COUNT],
    }

    def _prepare(self):
        if not self.low < self.high < self.sampling_rate / 2:
            actual = f"low={self.low}, high={self.high} and sampling_rate={self.sampling_rate} (Hz)"
            raise InvalidECGError(f"Expected low < high < sampling_rate / 2, but got {actual}.")

    def _transform(self, x):
        return bandpass(x, self.sampling_rate, self.low, self.high, self.order)


@dataclass(eq=False, repr=False)
class RecordScaler(SignalTransformer):
    """Scale each record, or each of its leads, by its own statistics. A flat lead becomes zeros.

    Parameters
    ----------
    method : {"zscore", "robust", "max"}, default="zscore"
        - "zscore": subtract the mean, divide by the standard deviation;
        - "robust": subtract the median, divide by the interquartile range, or by one if it is zero;
        - "max": divide by the largest absolute value.
    per : {"lead", "record"}, default="lead"
        Statistics of each lead, or of all leads together, which keeps their proportions.

    Examples
    --------
    >>> from sklearn_bell.preprocessing import RecordScaler
    >>> RecordScaler(method="max").fit_transform([[[1.0, -2.0], [3.0, 3.0]]])
    array([[[ 0.5, -1. ],
            [ 0. ,  0. ]]])
    """

    method: str = "zscore"
    per: str = "lead"

    _parameter_constraints = {
        "method": [StrOptions({"zscore", "robust", "max"})],
        "per": [StrOptions({"lead", "record"})],
    }

    def _transform(self, x):
        is_missing = np.isnan(x).all(axis=-1)
        if self.per == "record" and is_missing.any():  # the statistics are those of other leads
            out = x.copy()
            for row, is_present in enumerate(~is_missing):
                if is_present.any():
                    out[row, is_present] = self._transform(x[row : row + 1, is_present])[0]
            return out
        # rounding makes the deviation of a flat lead small, not zero: compare it with the values
        highest = x.max(axis=-1, keepdims=True).astype(np.float64)  # (n, n_leads, 1)
        lowest = x.min(axis=-1, keepdims=True).astype(np.float64)
        flat = highest - lowest <= 10 * np.finfo(x.dtype).eps * np.maximum(highest, -lowest)
        axis = -1 if self.per == "lead" else (-2, -1)
        if self.method == "zscore":
            values = x.astype(np.float64, copy=False)  # large values neither overflow nor round
            center, scale = values.mean(axis, keepdims=True), values.std(axis, keepdims=True)
        elif self.method == "robust":
            low, center, high = np.quantile(x, (0.25, 0.5, 0.75), axis=axis, keepdims=True)
            scale = high - low
        else:
            center, scale = 0, np.abs(x).max(axis, keepdims=True)
        scaled = (x - center) / np.where(scale > 0, scale, 1)
        return np.where(flat, 0, scaled).astype(x.dtype, copy=False)


@dataclass(eq=False, repr=False)
class Cropper(SignalTransformer):
    """Crop each record to a number of samples, or pad a shorter one with zeros.

    Crops that differ between epochs: :class:`sklearn_bell.nn.augmentation.RandomCrop`.

    Parameters
    ----------
    n_samples : int, default=None
        Number of samples of the output. None keeps the length seen in `fit`.
    position : {"center", "random"}, default="center"
        Position of the crop in the record, or of a short record in the output. A random position
        depends on `random_state` and the values of the record only, not on its row in X.
    random_state : int, RandomState instance or None, default=None
        Seed of random positions, drawn once in `fit`.

    Attributes
    ----------
    n_samples_, seed_ : int
        Number of samples of the output, and seed drawn in `fit`.

    Examples
    --------
    >>> from sklearn_bell.preprocessing import Cropper
    >>> Cropper(n_samples=6).fit_transform([[1.0, 2.0, 3.0, 4.0]])
    array([[0., 1., 2., 3., 4., 0.]])
    """

    n_samples: int | None = None
    position: str = "center"
    random_state: types.RandomState = None

    _parameter_constraints = {
        "n_samples": [_COUNT, None],
        "position": [StrOptions({"center", "random"})],
        "random_state": ["random_state"],
    }

    def _prepare(self):
        self.n_samples_ = self.n_samples_in_ if self.n_samples is None else self.n_samples
        self.seed_ = int(check_random_state(self.random_state).randint(2**31))

    def _transform(self, x):
        n_spare = abs(x.shape[-1] - self.n_samples_)
        starts = np.full(len(x), n_spare // 2)
        if self.position == "random":
            with np.errstate(over="ignore"):  # in float32, so that float64 gives the same starts
                hashes = [zlib.crc32(record.astype(np.float32).tobytes()) for record in x]
            generators = [np.random.default_rng([self.seed_, value]) for value in hashes]
            starts = np.array([generator.integers(n_spare + 1) for generator in generators])
        width = min(x.shape[-1], self.n_samples_)
        samples = (starts[:, None] + np.arange(width))[:, None]  # (n, 1, width)
        if self.n_samples_ <= x.shape[-1]:
            return np.take_along_axis(x, samples, axis=-1)
        is_missing = np.isnan(x).all(axis=-1, keepdims=True)
        out = np.repeat(np.where(is_missing, x[..., :1], 0), self.n_samples_, axis=-1)
        np.put_along_axis(out, samples, x, axis=-1)
        return out


@dataclass(eq=False, repr=False)
class GapFiller(SignalTransformer):
    """Interpolate short gaps (NaN) linearly, as in digitised paper or records with cut-off peaks.

    A gap at an end takes the nearest value. Longer gaps are an error, and leads that are NaN as a
    whole remain, for estimators with ``missing="zero"``.

    Parameters
    ----------
    max_gap : float, default=0.1
        Longest gap that is filled, in s.
    sampling_rate : float, default=100
        Sampling rate of X in Hz.

    Raises
    ------
    InvalidECGError
        In `transform`: if a gap is longer than `max_gap`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_bell.preprocessing import GapFiller
    >>> GapFiller(max_gap=0.02).fit_transform([[1.0, np.nan, np.nan, 4.0]])
    array([[1., 2., 3., 4.]])
    """

    max_gap: float = 0.1
    sampling_rate: float = 100

    _parameter_constraints = {"max_gap": [_POSITIVE], "sampling_rate": [_POSITIVE]}
    missing = "keep"

    def _transform(self, x):
        filled, _ = fill_gaps(x, round(self.max_gap * self.sampling_rate))
        is_gap = np.isnan(filled) & ~np.isnan(filled).all(axis=-1, keepdims=True)
        if is_gap.any():
            record, lead, sample = np.argwhere(is_gap)[0]
            longest = max(np.ptp(gap) for gap in find_gaps(filled[record, lead]))
            raise InvalidECGError(
                f"A gap of {longest / self.sampling_rate:g} s in lead {lead} at sample {sample} is "
                f"longer than max_gap={self.max_gap:g} s. Increase it, or leave such records out."
            )
        return filled if filled is not x else x.copy()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
