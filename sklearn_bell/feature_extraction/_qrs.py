"""QRS detection in all leads together."""

from __future__ import annotations

from numbers import Real

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage, signal
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_bell._utils.signal import bandpass, resample
from sklearn_bell._utils.validation import check_signals

HZ = Interval(Real, 0, None, closed="neither")
RATE = 100  # Hz of clean records, so that features do not depend on the rate of X
_REFRACTORY = 25  # samples, 0.25 s: at most 240 beats per minute


@validate_params({"X": ["array-like"], "sampling_rate": [HZ]}, prefer_skip_nested_validation=True)
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
    return [beats / RATE for beats in find_beats(clean(check_signals(X), sampling_rate))]


def clean(x, sampling_rate):
    """Resample to 100 Hz and filter from 0.5 to 40 Hz."""
    return bandpass(resample(x, sampling_rate, RATE), RATE, 0.5, 40.0)


def find_beats(x):
    """Return the samples of the beats of each clean record (n, n_leads, n_samples)."""
    activity = _qrs_activity(x)  # (n, n_samples)
    n_window = min(2 * RATE, x.shape[-1])
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
    slope = np.abs(np.gradient(bandpass(x, RATE, 5.0, 20.0), axis=-1))
    mean = slope.mean(axis=-1, keepdims=True)  # (n, n_leads, 1)
    mean_slope = (slope / np.where(mean > 0, mean, 1)).mean(axis=1)  # (n, n_samples)
    return ndimage.uniform_filter1d(mean_slope, 14, axis=-1, mode="nearest")
