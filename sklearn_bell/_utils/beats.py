"""Beats of clean records: QRS detection in all leads together, at 100 Hz."""

import numpy as np
from scipy import ndimage, signal

from sklearn_bell._utils.signal import bandpass, resample

RATE = 100  # Hz of clean records, so that features do not depend on the rate of X
_REFRACTORY = 25  # samples, 0.25 s: at most 240 beats per minute


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


def heart_rates(x, sampling_rate):
    """Return the median heart rate of each record per minute; infinity without beats.

    Of one beat it is the highest possible rate.
    """
    x = clean(x, sampling_rate)
    rates = np.full(len(x), np.inf)
    for row, beats in enumerate(find_beats(x)):
        if len(beats):
            rates[row] = (
                60 * RATE / np.median(np.diff(beats) if len(beats) > 1 else x.shape[-1] / 2)
            )
    return rates
