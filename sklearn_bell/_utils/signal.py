"""Filters along the last axis. They subtract the first sample: a flat lead stays exactly flat."""

from fractions import Fraction

import numpy as np
from scipy import signal

PAPER_SPEED = 25.0  # mm/s
PAPER_GAIN = 10.0  # mm/mV


def bandpass(x, sampling_rate, low, high, order=2):
    """Keep frequencies between `low` and `high` Hz, without delay."""
    sos = signal.butter(order, (low, high), btype="bandpass", fs=sampling_rate, output="sos")
    # the filter settles within one period of the slowest frequency in the band
    n_padding = min(x.shape[-1] - 1, round(sampling_rate / low))
    # mirrored ends ("even") come four times closer to the filter of a longer record than SciPy's
    # point reflection, which takes an end inside a QRS complex for a step of the baseline
    y = signal.sosfiltfilt(sos, x - x[..., :1], axis=-1, padtype="even", padlen=n_padding)
    return y.astype(x.dtype, copy=False)


def resample(x, sampling_rate_in, sampling_rate_out):
    """Resample to the nearest number of samples of the same duration, at least one."""
    ratio = Fraction(float(sampling_rate_out)) / Fraction(float(sampling_rate_in))
    ratio = ratio.limit_denominator(10_000)  # polyphase filters need small whole numbers
    if ratio == 1:
        return x
    n_samples = max(1, round(x.shape[-1] * ratio))
    first = x[..., :1]
    y = signal.resample_poly(x - first, ratio.numerator, ratio.denominator, axis=-1, padtype="edge")
    return (y[..., :n_samples] + first).astype(x.dtype, copy=False)


def find_gaps(values):
    """Return the beginning and end of each gap (NaN) as a slice, ``(n_gaps, 2)``."""
    return np.flatnonzero(np.diff(~np.isnan(values), prepend=True, append=True)).reshape(-1, 2)


def fill_gaps(x, n_longest):
    """Interpolate gaps (NaN) of at most `n_longest` samples linearly; return x and their number.

    A gap at an end takes the nearest value. A signal without any value stays as it is.
    """
    if n_longest < 1 or not np.isnan(x).any():
        return x, 0
    x, n_filled = x.copy(), 0
    for values in x.reshape(-1, x.shape[-1]):
        known = np.flatnonzero(~np.isnan(values))
        gaps = [np.arange(*gap) for gap in find_gaps(values) if np.ptp(gap) <= n_longest]
        if gaps and len(known):
            missing = np.concatenate(gaps)
            values[missing] = np.interp(missing, known, values[known])
            n_filled += len(missing)
    return x, n_filled
