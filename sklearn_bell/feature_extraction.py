"""Hand-made features of an ECG, and the QRS detector that they use."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage, signal
from sklearn.utils._param_validation import Interval, validate_params
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from sklearn_bell._utils.leads import STANDARD_LEADS, check_lead_names
from sklearn_bell._utils.signal import bandpass, resample
from sklearn_bell._utils.validation import check_signals
from sklearn_bell.preprocessing._base import RecordTransformer

if TYPE_CHECKING:
    from sklearn_bell._utils import types

__all__ = ["ECGFeatures", "detect_qrs"]

_HZ = Interval(Real, 0, None, closed="neither")
_RATE = 100  # Hz of all computations, so that features do not depend on the rate of X
_REFRACTORY = 25  # samples, 0.25 s: at most 240 beats per minute
_BEFORE, _AFTER, _STEP = 24, 40, 2  # samples: the beat from -240 ms to +380 ms, every 20 ms

_RHYTHM = ("heart_rate", "rr_sd", "rr_rmssd", "rr_min", "rr_max")
_AMPLITUDE = ("sd", "max", "min")
_BEAT = tuple(f"beat_{10 * sample:+d}ms" for sample in range(-_BEFORE, _AFTER, _STEP))


@validate_params({"X": ["array-like"], "sampling_rate": [_HZ]}, prefer_skip_nested_validation=True)
def detect_qrs(X: ArrayLike, sampling_rate: float = 100) -> list[np.ndarray]:
    """Detect the QRS complexes of every record from all of its leads.

    Slopes between 5 and 20 Hz, divided by their mean in each lead, are averaged over leads and
    smoothed over 0.14 s. A beat is a peak above 0.45 of the typical height, at least 0.25 s from a
    higher one. The typical height is the median of the maxima of windows of 2 s; a record has no
    beats if it is below 3 times the lower quartile. Each beat moves, by 0.08 s at most, to the
    largest root of the sum of squares over leads. Band and smoothed slope are those of Pan and
    Tompkins (IEEE Trans Biomed Eng 32(3), 1985, doi:10.1109/TBME.1985.325532); the rest is simpler,
    because short records are processed as a whole.

    Parameters
    ----------
    X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
        Records in mV, without NaN.
    sampling_rate : float, default=100
        Sampling rate of X in Hz. Other rates are resampled to 100 Hz.

    Returns
    -------
    beats : list of n_records ndarrays of shape (n_beats,)
        Times of the beats in s from the start of the record, to the nearest 0.01 s.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_bell.feature_extraction import detect_qrs
    >>> spikes = np.exp(-(((np.arange(400) % 100 - 50) / 2) ** 2))
    >>> detect_qrs(spikes[None])
    [array([0.5, 1.5, 2.5, 3.5])]
    """
    return [beats / _RATE for beats in _find_beats(_clean(check_signals(X), sampling_rate))]


@dataclass(eq=False, repr=False)
class ECGFeatures(RecordTransformer):
    """Baseline features: the rhythm, the amplitudes and the median beat.

    With extra trees they are strong for the diagnoses of PTB-XL (doi:10.1038/s41597-020-0495-6).
    Records are resampled to 100 Hz and filtered from 0.5 to 40 Hz. Features are

    - of the record: heart rate (1/min, from the median RR interval), and standard deviation, root
      mean square of successive differences, minimum and maximum of the RR intervals (s);
    - of each lead (mV): standard deviation, maximum and minimum, and the median over beats, every
      20 ms from 240 ms before to 380 ms after the QRS complex (see `detect_qrs`).

    Undefined features are zero, never NaN: RR statistics of fewer than two beats, and the median
    beat if no beat lies completely in the record.

    Parameters
    ----------
    sampling_rate : float, default=100
        Sampling rate of X in Hz. The features hardly depend on it.
    lead_names : array-like of str, default=None
        Names of the leads of X, by default the standard names for twelve leads, else lead0, ...

    Attributes
    ----------
    lead_names_ : list of str
        Names of the leads of X.

    Examples
    --------
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.feature_extraction import ECGFeatures
    >>> features = ECGFeatures().set_output(transform="pandas")
    >>> features.fit_transform(make_ecg(3, random_state=0).data)["heart_rate"].round().tolist()
    [118.0, 79.0, 90.0]
    """

    sampling_rate: float = 100
    lead_names: types.Names | None = None

    _parameter_constraints = {"sampling_rate": [_HZ], "lead_names": ["array-like", None]}
    _dtypes = (np.float32,)

    def _prepare(self):
        is_standard = self.lead_names is None and self.n_leads_in_ == len(STANDARD_LEADS)
        names = STANDARD_LEADS if is_standard else self.lead_names
        self.lead_names_ = check_lead_names(names, self.n_leads_in_)

    def _transform(self, x):
        x = _clean(x, self.sampling_rate)
        beats = _find_beats(x)
        rhythm = np.array([_rhythm(positions) for positions in beats])  # (n, 5)
        amplitude = np.stack([x.std(axis=-1), x.max(axis=-1), x.min(axis=-1)], axis=-1)
        shape = np.stack([_median_beat(*record) for record in zip(x, beats, strict=True)])
        # all features of the first lead, then all of the second
        leads = np.concatenate([amplitude, shape], axis=-1).reshape(len(x), -1)
        return np.concatenate([rhythm, leads], axis=1, dtype=np.float32)

    def get_feature_names_out(self, input_features: types.Names | None = None) -> np.ndarray:
        """Return the names of features, such as ``heart_rate``, then those of leads (``II_sd``).

        The `input_features` are only compared with the names seen in `fit`.
        """
        check_is_fitted(self, "_shape_out")
        _check_feature_names_in(self, input_features, generate_names=False)
        names = [f"{lead}_{name}" for lead in self.lead_names_ for name in _AMPLITUDE + _BEAT]
        return np.array([*_RHYTHM, *names], dtype=object)


def _clean(x, sampling_rate):
    """Resample to 100 Hz and filter from 0.5 to 40 Hz."""
    return bandpass(resample(x, sampling_rate, _RATE), _RATE, 0.5, 40.0)


def _find_beats(x):
    """Return the samples of the beats of each clean record (n, n_leads, n_samples)."""
    activity = _qrs_activity(x)  # (n, n_samples)
    n_window = min(2 * _RATE, x.shape[-1])
    n_whole = x.shape[-1] // n_window * n_window
    windows = activity[:, :n_whole].reshape(len(x), -1, n_window)  # of 2 s
    height = np.median(windows.max(axis=-1), axis=-1)  # (n,)
    has_beats = height > 3 * np.quantile(activity, 0.25, axis=-1)
    magnitude = np.sqrt((x**2).sum(axis=1))  # (n, n_samples)
    around = np.arange(-8, 9)  # samples, within which a beat moves to the largest magnitude
    beats = [np.empty(0, dtype=int)] * len(x)
    for i in np.flatnonzero(has_beats):
        peaks, _ = signal.find_peaks(activity[i], height=0.45 * height[i], distance=_REFRACTORY)
        samples = (peaks[:, None] + around).clip(0, x.shape[-1] - 1)  # (n_beats, 17)
        summits = magnitude[i][samples].argmax(axis=-1, keepdims=True)
        beats[i] = np.take_along_axis(samples, summits, axis=-1)[:, 0]
    return beats


def _qrs_activity(x):
    """Return the smoothed slope of all leads in the band of QRS complexes (n, n_samples)."""
    if x.shape[-1] < 2:
        return np.zeros((len(x), x.shape[-1]))
    slope = np.abs(np.gradient(bandpass(x, _RATE, 5.0, 20.0), axis=-1))
    mean = slope.mean(axis=-1, keepdims=True)  # (n, n_leads, 1)
    mean_slope = (slope / np.where(mean > 0, mean, 1)).mean(axis=1)  # (n, n_samples)
    return ndimage.uniform_filter1d(mean_slope, 14, axis=-1, mode="nearest")


def _rhythm(beats):
    """Return heart rate (1/min) and statistics of the RR intervals (s)."""
    if len(beats) < 2:
        return np.zeros(len(_RHYTHM))
    rr = np.diff(beats) / _RATE
    rmssd = np.sqrt(np.mean(np.diff(rr) ** 2)) if len(rr) > 1 else 0.0
    return np.array([60 / np.median(rr), rr.std(), rmssd, rr.min(), rr.max()])


def _median_beat(record, beats):
    """Return the median beat of every lead (n_leads, n_points)."""
    whole = beats[(beats >= _BEFORE) & (beats + _AFTER <= record.shape[-1])]
    if len(whole) == 0:
        return np.zeros((len(record), len(_BEAT)), record.dtype)
    points = whole[:, None] + np.arange(-_BEFORE, _AFTER, _STEP)  # (n_beats, n_points)
    return np.median(record[:, points], axis=1)
