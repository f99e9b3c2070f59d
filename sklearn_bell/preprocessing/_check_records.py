"""Table of what is wrong with each record."""

from __future__ import annotations

import hashlib
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import signal
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_bell._utils.beats import RATE, clean, find_beats
from sklearn_bell._utils.leads import STANDARD_LEADS, check_lead_names, standard_name
from sklearn_bell._utils.plausibility import HEART_RATES, guess_unit, is_contradictory
from sklearn_bell._utils.signal import fill_gaps
from sklearn_bell._utils.validation import open_signals

if TYPE_CHECKING:
    from sklearn_bell._utils import types

# Chosen on every second record of CinC 2011 (Silva et al. 2011), which human readers judged
_FLAT, _FLAT_SHARE = 0.02, 0.5  # mV within a second, and share of the seconds
_LIKENESS, _QUANTILE = 0.5, 0.75  # correlation of beats of a clean lead, of three quarters of pairs
_DRIFT, _DRIFT_FREQUENCY = 2.0, 0.5  # mV from lowest to highest baseline, and Hz below
_SHARE_OF_BAD_LEADS = 0.25  # noisy or drifting leads of an unacceptable record
_CLIPPED = 0.05  # s at the highest or lowest value at once
_FROM_BEAT, _TO_BEAT = 25, 40  # samples at 100 Hz before and after a beat
_FEWEST_BEATS = 3
_MILLIVOLTS = {"uV": 1e-3, "mV": 1.0, "V": 1e3}
_MIRRORED = -0.6  # correlation of the median beats of I and V6; 0.2 % of PTB-XL are below
_NEARLY_FLAT = 0.1  # of the size of the second largest of I, II and III; none of PTB-XL


@validate_params(
    {
        "X": "no_validation",
        "sampling_rate": [Interval(Real, 0, None, closed="neither")],
        "lead_names": ["array-like", None],
    },
    prefer_skip_nested_validation=True,
)
def check_records(
    X: ArrayLike, sampling_rate: float = 100, lead_names: types.Names | None = None
) -> pd.DataFrame:
    """Return a table of what is wrong with each record.

    A record is unacceptable if a lead is flat or missing, if it has no beats, or if a quarter of
    its leads are noisy or a quarter drift: rules that agree with the readers of the CinC Challenge
    2011 [1]_ in more than 90 % of its records (``benchmarks/bench_check_records.py``). It is
    questionable if anything else is found. Nothing is removed: a noisy record of a rare class may
    be worth more than none.

    Parameters
    ----------
    X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
        Records in mV, in memory or on disk; NaN where samples are missing.
    sampling_rate : float, default=100
        Sampling rate of X in Hz.
    lead_names : sequence of str, default=None
        Names of the leads. None are numbers from 0, and limb leads are not compared.

    Returns
    -------
    table : DataFrame
        A row for each record. The columns ``flat``, ``clipped``, ``noisy`` and ``drifting`` name
        leads, separated by blanks.

        verdict : "acceptable", "questionable" or "unacceptable"
        missing : share of the samples that are NaN.
        flat : leads that vary by less than 0.02 mV in half of the seconds.
        clipped : leads that stay at their highest or lowest value for 50 ms.
        noisy : leads whose beats hardly resemble each other.
        drifting : leads whose baseline moves by more than 2 mV.
        limb_leads : "contradict each other" if II is not I + III or an augmented lead is not \
            their mean; "arms exchanged?" if I is a mirror image of V6; "leg exchanged?" if I, II \
            or III is nearly flat, unlike the other two.
        unit : "mV", "uV" or "V", which the size of the record suggests. The record is converted \
            from it for the other columns.
        heart_rate : median per minute, NaN without beats; questionable outside of 30 to 220.
        duplicate_of : index of the first record with the same samples, or missing.

    Raises
    ------
    InvalidECGError
        If X is not of that shape or has infinite values, or if `lead_names` do not fit it.

    References
    ----------
    .. [1] Silva I, Moody GB, Celi L (2011). Improving the quality of ECGs collected using mobile
       phones: the PhysioNet/Computing in Cardiology Challenge 2011. Comput. Cardiol. 38:273-276.

    Examples
    --------
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.preprocessing import STANDARD_LEADS, check_records
    >>> X = make_ecg(3, random_state=0).data
    >>> X[1, 7] = 0
    >>> check_records(X, lead_names=STANDARD_LEADS)[["flat", "verdict"]]
      flat       verdict
    0         acceptable
    1   V2  unacceptable
    2         acceptable
    """
    records = open_signals(X, missing="keep")
    names = check_lead_names(lead_names, records.shape[1])
    batches = [_check_batch(x, sampling_rate, names) for x in records.batches()]
    table = pd.concat(batches, ignore_index=True)
    same = table.index.to_series().groupby(table["duplicate_of"])
    table["duplicate_of"] = same.transform("min").astype("Int64").where(same.cumcount() > 0)
    is_good = (table["missing"] == 0) & (table["unit"] == "mV") & table["duplicate_of"].isna()
    is_good &= (table[["clipped", "noisy", "drifting", "limb_leads"]] == "").all(axis=1)
    is_good &= table["heart_rate"].between(*HEART_RATES)
    verdicts = np.where(is_good, "acceptable", "questionable")
    table.insert(0, "verdict", np.where(table.pop("is_bad"), "unacceptable", verdicts))
    return table


def _check_batch(x, sampling_rate, names):
    """Return the table of some records, with hashes for ``duplicate_of`` and without verdict."""
    hashes = [hashlib.sha256(record.tobytes()).hexdigest() for record in x]
    is_missing = np.isnan(x)
    x = np.nan_to_num(fill_gaps(x.astype(np.float64), x.shape[-1])[0])
    x -= x.mean(axis=-1, keepdims=True)
    deviations = x.std(axis=-1)
    typical = [np.median(d[d > 0]) if d.any() else np.nan for d in deviations]
    units = ["mV" if np.isnan(d) else guess_unit(d) for d in typical]
    x *= np.array([_MILLIVOLTS[unit] for unit in units])[:, None, None]
    is_flat = _share_of_flat_seconds(x, sampling_rate) >= _FLAT_SHARE
    beating = clean(x * ~is_flat[..., None], sampling_rate)
    median_beat, likeness, heart_rate = _compare_beats(beating)
    is_noisy = ~is_flat & (likeness < _LIKENESS)
    is_drifting = _baseline_range(x, sampling_rate) > _DRIFT
    share = np.maximum(is_noisy.mean(axis=1), is_drifting.mean(axis=1))
    return pd.DataFrame(
        {
            "missing": is_missing.mean(axis=(1, 2)),
            "flat": _name_leads(is_flat, names),
            "clipped": _name_leads(~is_flat & _is_clipped(x, sampling_rate), names),
            "noisy": _name_leads(is_noisy, names),
            "drifting": _name_leads(is_drifting, names),
            "limb_leads": _check_limb_leads(x, median_beat, names),
            "unit": units,
            "heart_rate": heart_rate,
            "duplicate_of": hashes,
            "is_bad": is_flat.any(axis=1) | np.isnan(heart_rate) | (share >= _SHARE_OF_BAD_LEADS),
        }
    )


def _name_leads(chosen, names):
    """Return the names of the chosen leads (n, n_leads) of each record."""
    return [" ".join(np.array(names)[row]) for row in chosen]


def _share_of_flat_seconds(x, sampling_rate):
    """Return the share of the seconds in which each lead is flat, (n, n_leads)."""
    n = min(x.shape[-1], max(1, round(sampling_rate)))
    seconds = x[..., : x.shape[-1] // n * n].reshape(*x.shape[:2], -1, n)
    return (np.ptp(seconds, axis=-1) < _FLAT).mean(axis=-1)


def _baseline_range(x, sampling_rate):
    """Return the range of the baseline of each lead in mV, (n, n_leads)."""
    n_padding = min(x.shape[-1] - 1, round(sampling_rate / _DRIFT_FREQUENCY))
    sos = signal.butter(2, _DRIFT_FREQUENCY, fs=sampling_rate, output="sos")
    return np.ptp(signal.sosfiltfilt(sos, x, axis=-1, padlen=n_padding), axis=-1)


def _is_clipped(x, sampling_rate):
    """Return True for leads (n, n_leads) that stay at their highest or lowest value.

    That value is more than two standard deviations from the mean: the baseline of coarse samples
    is constant, too.
    """
    n = max(3, round(_CLIPPED * sampling_rate))
    is_clipped = np.zeros(x.shape[:2], bool)
    for end in (x.max(axis=-1, keepdims=True), x.min(axis=-1, keepdims=True)):
        is_at_end = np.abs(x - end) < 1e-9
        is_long = is_at_end[..., : x.shape[-1] - n + 1].copy()
        for shift in range(1, n):
            is_long &= is_at_end[..., shift : x.shape[-1] - n + 1 + shift]
        is_clipped |= is_long.any(axis=-1) & (np.abs(end[..., 0]) > 2 * x.std(axis=-1))
    return is_clipped


def _compare_beats(x):
    """Return median beats, the typical correlation of the beats with them, and heart rates."""
    n, n_leads, n_samples = x.shape
    median = np.zeros((n, n_leads, _FROM_BEAT + _TO_BEAT))
    likeness, heart_rate = np.zeros((n, n_leads)), np.full(n, np.nan)
    for i, beats in enumerate(find_beats(x)):
        if len(beats) > 1:
            heart_rate[i] = 60 * RATE / np.median(np.diff(beats))
        beats = beats[(beats >= _FROM_BEAT) & (beats <= n_samples - _TO_BEAT)]
        if len(beats) < _FEWEST_BEATS:
            likeness[i] = 1
            continue
        windows = np.stack([x[i, :, beat - _FROM_BEAT : beat + _TO_BEAT] for beat in beats], axis=1)
        windows -= windows.mean(axis=-1, keepdims=True)  # (n_leads, n_beats, n_samples)
        median[i] = np.median(windows, axis=1)
        size = np.sqrt((windows**2).sum(axis=-1, keepdims=True))
        shapes = windows / np.where(size > 0, size, 1)
        pairs = (shapes @ shapes.swapaxes(1, 2))[:, *np.triu_indices(len(beats), 1)]
        likeness[i] = np.quantile(pairs, _QUANTILE, axis=1)
    return median, likeness, heart_rate


def _correlate(a, b):
    """Return the cosine of the angle between signals, 0 where one is flat."""
    size = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    return (a * b).sum(axis=-1) / np.where(size > 0, size, 1)


def _check_limb_leads(x, median_beat, names):
    """Return the suspicion about the limb leads of each record."""
    names = [standard_name(name) for name in names]
    suspicion = np.full(len(x), "", dtype=object)
    if {"I", "V6"} <= set(names):
        i, v6 = (median_beat[:, names.index(lead)] for lead in ("I", "V6"))
        suspicion[_correlate(i, v6) < _MIRRORED] = "arms exchanged?"
    if {"I", "II", "III"} <= set(names):
        sizes = np.sort(x[:, [names.index(lead) for lead in ("I", "II", "III")]].std(axis=-1))
        is_flat = (sizes[:, 0] < _NEARLY_FLAT * sizes[:, 1]) & (sizes[:, 0] > 0)
        suspicion[is_flat] = "leg exchanged?"
    if set(STANDARD_LEADS[:6]) <= set(names):
        suspicion[is_contradictory(x, names)] = "contradict each other"
    return suspicion
