"""QRS detection in all leads together."""

from __future__ import annotations

from numbers import Real

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_bell._utils.beats import RATE, clean, find_beats
from sklearn_bell._utils.validation import check_signals

HZ = Interval(Real, 0, None, closed="neither")


@validate_params({"X": "no_validation", "sampling_rate": [HZ]}, prefer_skip_nested_validation=True)
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
