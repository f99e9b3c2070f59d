"""Transformers that prepare records: leads, sampling rate, frequency band, scale and length.

All work on each record by itself, on ``(n_records, n_leads, n_samples)`` and on ``(n_records,
n_samples)`` of one lead, keep float32 and float64, and read X in batches.
"""

from __future__ import annotations

import zlib
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_bell._utils.leads import (
    STANDARD_LEADS,
    check_lead_names,
    lead_positions,
    standard_name,
)
from sklearn_bell._utils.signal import bandpass, resample
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.preprocessing._base import SignalTransformer

if TYPE_CHECKING:
    from sklearn_bell._utils.types import Names, RandomState


class LeadSelector(SignalTransformer):
    """Select leads by name, and put them in order.

    Parameters
    ----------
    leads : array-like of str, default=None
        The leads wanted, in the order wanted, upper or lower case. None keeps all as they are.
        ``INDEPENDENT_LEADS`` are the eight that carry all the information of twelve.
    lead_names : array-like of str, default=STANDARD_LEADS
        The leads of X, in order. Not looked at where `leads` is None.

    Attributes
    ----------
    lead_positions_ : ndarray of shape (n_leads_out,)
        Where the selected leads stand in X.
    n_features_in_, n_leads_in_, n_samples_in_ : int
        What `fit` has seen: the length of the second axis of X, its leads, its samples.

    Raises
    ------
    InvalidECGError
        A ``ValueError``, in `fit`: if `leads` is empty or names one that is not there, or if
        `lead_names` does not name each lead of X once.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_bell.preprocessing import INDEPENDENT_LEADS, LeadSelector
    >>> X = np.zeros((3, 12, 1000))
    >>> LeadSelector(INDEPENDENT_LEADS).fit_transform(X).shape
    (3, 8, 1000)
    >>> LeadSelector(["v1", "AVR"]).fit(X).get_feature_names_out()
    array(['V1', 'aVR'], dtype=object)
    """

    _parameter_constraints: dict = {"leads": ["array-like", None], "lead_names": ["array-like"]}

    def __init__(self, leads: Names | None = None, lead_names: Names = STANDARD_LEADS):
        self.leads = leads
        self.lead_names = lead_names

    def _prepare(self):
        self.lead_positions_ = np.arange(self.n_leads_in_)
        if self.leads is None:
            return
        if len(self.leads) == 0:
            raise InvalidECGError("leads is empty; name at least one, or give None to keep all.")
        names = check_lead_names(self.lead_names, self.n_leads_in_)
        self.lead_positions_ = np.array(lead_positions(self.leads, names))

    def _transform(self, x):
        return x[:, self.lead_positions_]

    def get_feature_names_out(self, input_features: Names | None = None) -> np.ndarray:
        """Return names along the second axis of the output: leads in 3-D, samples in 2-D.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names along the second axis of X; used where no leads are selected.

        Returns
        -------
        feature_names_out : ndarray of str
            The names of the selected leads, or those that came in.
        """
        names = super().get_feature_names_out(input_features)
        if self.leads is None or self._n_dimensions_in == 2:
            return names
        return np.array([standard_name(lead) for lead in self.leads], dtype=object)


class Resampler(SignalTransformer):
    """Bring records from one sampling rate to another, with a polyphase filter against aliasing.

    A record of ``n`` samples becomes one of ``round(n * sampling_rate_out / sampling_rate_in)``.

    Parameters
    ----------
    sampling_rate_in : float, default=500
        Sampling rate of X in Hz.
    sampling_rate_out : float, default=100
        Sampling rate wanted in Hz.

    Attributes
    ----------
    n_features_in_, n_leads_in_, n_samples_in_ : int
        What `fit` has seen: the length of the second axis of X, its leads, its samples.

    Raises
    ------
    InvalidECGError
        A ``ValueError``, in `fit`: if the sampling rates differ by more than a factor of 1000.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_bell.preprocessing import Resampler
    >>> Resampler(500, 100).fit_transform(np.zeros((3, 12, 5000))).shape
    (3, 12, 1000)
    """

    _parameter_constraints: dict = {
        "sampling_rate_in": [Interval(Real, 0, None, closed="neither")],
        "sampling_rate_out": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, sampling_rate_in: float = 500, sampling_rate_out: float = 100):
        self.sampling_rate_in = sampling_rate_in
        self.sampling_rate_out = sampling_rate_out

    def _prepare(self):
        if not 1e-3 <= self.sampling_rate_out / self.sampling_rate_in <= 1e3:
            raise InvalidECGError(
                "Expected sampling rates that differ by a factor of 1000 at most, but got "
                f"{self.sampling_rate_in} and {self.sampling_rate_out} Hz."
            )

    def _transform(self, x):
        return resample(x, self.sampling_rate_in, self.sampling_rate_out)


class BandpassFilter(SignalTransformer):
    """Keep what lies between two frequencies: no baseline wander, no mains hum, no delay.

    A Butterworth filter is run forwards and backwards, so that no wave is shifted; this halves the
    amplitude at both cut-offs and doubles the order. Records are continued by their mirror images,
    for one period of the lower cut-off or as far as they reach.

    Parameters
    ----------
    sampling_rate : float, default=100
        Sampling rate of X in Hz.
    low : float, default=0.5
        Lower cut-off in Hz.
    high : float, default=40.0
        Upper cut-off in Hz, below half the sampling rate.
    order : int, default=2
        Order of the filter in one direction.

    Attributes
    ----------
    n_features_in_, n_leads_in_, n_samples_in_ : int
        What `fit` has seen: the length of the second axis of X, its leads, its samples.

    Raises
    ------
    InvalidECGError
        A ``ValueError``, in `fit`: unless `low` is less than `high`, and `high` less than half the
        sampling rate.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_bell.preprocessing import BandpassFilter
    >>> time = np.arange(1000) / 100
    >>> wander, wave = np.sin(2 * np.pi * 0.05 * time), np.sin(2 * np.pi * 10 * time)
    >>> filtered = BandpassFilter().fit_transform([wander + wave])
    >>> bool(np.abs(filtered - wave)[:, 200:-200].max() < 0.01)  # but for the ends
    True
    """

    _parameter_constraints: dict = {
        "sampling_rate": [Interval(Real, 0, None, closed="neither")],
        "low": [Interval(Real, 0, None, closed="neither")],
        "high": [Interval(Real, 0, None, closed="neither")],
        "order": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self, sampling_rate: float = 100, low: float = 0.5, high: float = 40.0, order: int = 2
    ):
        self.sampling_rate = sampling_rate
        self.low = low
        self.high = high
        self.order = order

    def _prepare(self):
        if not self.low < self.high < self.sampling_rate / 2:
            raise InvalidECGError(
                f"Expected low < high < sampling_rate / 2, but got low={self.low}, "
                f"high={self.high} and sampling_rate={self.sampling_rate} (Hz)."
            )

    def _transform(self, x):
        return bandpass(x, self.sampling_rate, self.low, self.high, self.order)


class RecordScaler(SignalTransformer):
    """Scale every record, or every lead of it, by its own statistics.

    A flat lead becomes zeros, whatever the method.

    Parameters
    ----------
    method : {"zscore", "robust", "max"}, default="zscore"
        - "zscore": subtract the mean, divide by the standard deviation;
        - "robust": subtract the median, divide by the interquartile range (by one where that is
          zero);
        - "max": divide by the greatest absolute value.
    per : {"lead", "record"}, default="lead"
        Whether each lead has its own statistics, or all leads of a record share them, which keeps
        the proportions between leads.

    Attributes
    ----------
    n_features_in_, n_leads_in_, n_samples_in_ : int
        What `fit` has seen: the length of the second axis of X, its leads, its samples.

    Examples
    --------
    >>> from sklearn_bell.preprocessing import RecordScaler
    >>> RecordScaler(method="max").fit_transform([[[1.0, -2.0], [3.0, 3.0]]])
    array([[[ 0.5, -1. ],
            [ 0. ,  0. ]]])
    """

    _parameter_constraints: dict = {
        "method": [StrOptions({"zscore", "robust", "max"})],
        "per": [StrOptions({"lead", "record"})],
    }

    def __init__(self, method: str = "zscore", per: str = "lead"):
        self.method = method
        self.per = per

    def _transform(self, x):
        # rounding makes the deviation of a constant lead small, not zero: compare with its size
        highest = x.max(axis=-1, keepdims=True).astype(np.float64)  # (n, n_leads, 1)
        lowest = x.min(axis=-1, keepdims=True).astype(np.float64)
        resolution = 10 * np.finfo(x.dtype).eps * np.maximum(highest, -lowest)
        flat = highest - lowest <= resolution
        centre, scale = self._statistics(x, axis=-1 if self.per == "lead" else (-2, -1))
        scaled = (x - centre) / np.where(scale > 0, scale, 1)
        return np.where(flat, 0, scaled).astype(x.dtype, copy=False)

    def _statistics(self, x, axis):
        """Return centre and scale."""
        if self.method == "zscore":
            x = x.astype(np.float64, copy=False)  # so that large values neither overflow nor round
            return x.mean(axis, keepdims=True), x.std(axis, keepdims=True)
        if self.method == "robust":
            low, centre, high = np.quantile(x, (0.25, 0.5, 0.75), axis=axis, keepdims=True)
            return centre, high - low
        return 0, np.abs(x).max(axis, keepdims=True)


class Cropper(SignalTransformer):
    """Cut every record to a number of samples, or fill it up with zeros where it is shorter.

    Parameters
    ----------
    n_samples : int, default=None
        Number of samples wanted. None keeps the length that `fit` has seen.
    position : {"center", "random"}, default="center"
        Where the window lies in the record, or the record in the window where it is shorter.
        "random" draws the place from `random_state` and the values of the record: another record
        or another seed gives another place, but the same record always the same, wherever it
        stands in X.
    random_state : int, RandomState instance or None, default=None
        Seed of the random places, drawn once in `fit`.

    Attributes
    ----------
    n_samples_ : int
        Number of samples of what comes out.
    seed_ : int
        The seed that was drawn.
    n_features_in_, n_leads_in_, n_samples_in_ : int
        What `fit` has seen: the length of the second axis of X, its leads, its samples.

    Notes
    -----
    For crops that differ from epoch to epoch see the augmentations of ``sklearn_bell.nn``.

    Examples
    --------
    >>> from sklearn_bell.preprocessing import Cropper
    >>> Cropper(n_samples=2).fit_transform([[1.0, 2.0, 3.0, 4.0]])
    array([[2., 3.]])
    >>> Cropper(n_samples=6).fit_transform([[1.0, 2.0, 3.0, 4.0]])
    array([[0., 1., 2., 3., 4., 0.]])
    """

    _parameter_constraints: dict = {
        "n_samples": [Interval(Integral, 1, None, closed="left"), None],
        "position": [StrOptions({"center", "random"})],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_samples: int | None = None,
        position: str = "center",
        random_state: RandomState = None,
    ):
        self.n_samples = n_samples
        self.position = position
        self.random_state = random_state

    def _prepare(self):
        self.n_samples_ = self.n_samples_in_ if self.n_samples is None else self.n_samples
        self.seed_ = int(check_random_state(self.random_state).randint(2**31))

    def _transform(self, x):
        n_free = abs(x.shape[-1] - self.n_samples_)  # left over, in the record or the window
        starts = np.full(len(x), n_free // 2)
        if self.position == "random":
            starts = np.array([_draw(self.seed_, record, n_free) for record in x])
        width = min(x.shape[-1], self.n_samples_)
        places = (starts[:, None] + np.arange(width))[:, None]  # (n, 1, width)
        if self.n_samples_ <= x.shape[-1]:
            return np.take_along_axis(x, places, axis=-1)
        out = np.zeros((*x.shape[:2], self.n_samples_), x.dtype)
        np.put_along_axis(out, places, x, axis=-1)
        return out


def _draw(seed, record, n_free):
    """Draw a place from 0 to n_free that depends on nothing but the seed and the record."""
    with np.errstate(over="ignore"):  # float32, so that the same record in float64 gives the same
        values = record.astype(np.float32).tobytes()
    return np.random.default_rng([seed, zlib.crc32(values)]).integers(n_free + 1)
