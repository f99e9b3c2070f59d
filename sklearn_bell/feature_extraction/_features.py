"""Hand-made features of an ECG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from sklearn_bell._utils.leads import STANDARD_LEADS, check_lead_names
from sklearn_bell.feature_extraction._qrs import HZ, RATE, clean, find_beats
from sklearn_bell.preprocessing._base import RecordTransformer

if TYPE_CHECKING:
    from sklearn_bell._utils import types

_BEFORE, _AFTER, _STEP = 24, 40, 2  # samples: the beat from -240 ms to +380 ms, every 20 ms

_RHYTHM = ("heart_rate", "rr_sd", "rr_rmssd", "rr_min", "rr_max")
_AMPLITUDE = ("sd", "max", "min")
_BEAT = tuple(f"beat_{10 * sample:+d}ms" for sample in range(-_BEFORE, _AFTER, _STEP))


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

    _parameter_constraints = {"sampling_rate": [HZ], "lead_names": ["array-like", None]}
    _dtypes = (np.float32,)

    def _prepare(self):
        is_standard = self.lead_names is None and self.n_leads_in_ == len(STANDARD_LEADS)
        names = STANDARD_LEADS if is_standard else self.lead_names
        self.lead_names_ = check_lead_names(names, self.n_leads_in_)

    def _transform(self, x):
        x = clean(x, self.sampling_rate)
        beats = find_beats(x)
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


def _rhythm(beats):
    """Return heart rate (1/min) and statistics of the RR intervals (s)."""
    if len(beats) < 2:
        return np.zeros(len(_RHYTHM))
    rr = np.diff(beats) / RATE
    rmssd = np.sqrt(np.mean(np.diff(rr) ** 2)) if len(rr) > 1 else 0.0
    return np.array([60 / np.median(rr), rr.std(), rmssd, rr.min(), rr.max()])


def _median_beat(record, beats):
    """Return the median beat of every lead (n_leads, n_points)."""
    whole = beats[(beats >= _BEFORE) & (beats + _AFTER <= record.shape[-1])]
    if len(whole) == 0:
        return np.zeros((len(record), len(_BEAT)), record.dtype)
    points = whole[:, None] + np.arange(-_BEFORE, _AFTER, _STEP)  # (n_beats, n_points)
    return np.median(record[:, points], axis=1)
