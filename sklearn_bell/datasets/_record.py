"""One record of any format, converted to leads, rate and length of the result."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sklearn_bell._utils.leads import STANDARD_LEADS, is_known_lead, mix_leads, standard_name
from sklearn_bell._utils.plausibility import guess_unit
from sklearn_bell._utils.signal import fill_gaps, find_gaps, resample
from sklearn_bell.exceptions import InvalidECGError

#: Factors to mV of units in lower case; there are two letters mu.
MILLIVOLTS = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "\u00b5v": 1e-3, "\u03bcv": 1e-3, "nv": 1e-6}
_MAX_SAMPLES = 2**28  # of all leads, decoded or resampled: a day of twelve leads at 250 Hz
_MIN_RATIO, _MAX_RATIO = 1e-3, 50  # of sampling rates


class Recording(NamedTuple):
    """An open record: ``read(positions)`` returns leads in mV, NaN where samples are missing."""

    names: Sequence[str]  # of the leads, as in the file
    rates: Sequence[float]  # of each lead, Hz
    read: Callable[[Sequence[int]], Sequence[np.ndarray]]
    left_out: tuple[str, ...] | None = None  # columns of tables that are no leads
    keeps_missing: bool = False  # leads without any sample stay NaN, instead of an error
    states_units: bool = True  # False: the option units= does
    cautions: tuple[str, ...] = ()  # for a warning
    has_others: bool = False  # signals that are no ECG leads, and are read only by their names


class TargetFormat(NamedTuple):
    """Leads, rate and length of the result; None where the first record decides."""

    leads: tuple[str, ...] | None = None
    sampling_rate: float | None = None  # Hz
    duration: float | None = None  # s, to crop or pad; without, a record must have n_samples
    n_samples: int | None = None
    step: float | None = None  # s from one window of `duration` to the next; None: one window
    max_gap: float = 0.0  # s of missing samples that are interpolated
    rename: Mapping[str, str] | None = None  # leads of names in files


class LengthMismatch(InvalidECGError):
    """Another length than that of the first record."""


class DecodedRecord(NamedTuple):
    """Windows of one record."""

    windows: np.ndarray  # float32 (n_windows, n_leads, n_samples), mV
    format: TargetFormat  # leads, rate and length are known
    padded: bool
    n_filled: int  # samples
    derived: dict[str, str]  # formulas of leads that the record does not have
    left_out: tuple[str, ...] | None  # columns that are no leads, of tables
    cautions: tuple[str, ...]


def try_read(read, path, *args):
    """Apply a reader of one record; return an error in place of the result."""
    try:
        return read(path, *args)
    except (InvalidECGError, MemoryError) as error:
        return error


def read_record(path: str, target: TargetFormat, open_record) -> DecodedRecord:
    """Read the record at a path, which `open_record` makes a :class:`Recording`, as the target."""
    try:
        recording = open_record(path)
    except OSError as error:
        raise InvalidECGError(f"it cannot be read ({error.strerror or error}).") from error
    rename = {key.strip().lower(): lead for key, lead in (target.rename or {}).items()}
    names = [standard_name(rename.get(name.strip().lower(), name)) for name in recording.names]
    first = STANDARD_LEADS if set(STANDARD_LEADS) <= set(names) else ()
    leads, left_out = tuple(dict.fromkeys([*first, *names])), recording.left_out
    if recording.has_others:  # than ECG leads
        renamed = [standard_name(lead) for lead in rename.values()]
        leads = tuple(lead for lead in leads if is_known_lead(lead) or lead in renamed) or leads
        left_out = tuple(name for name in names if name not in leads)
    leads = target.leads or leads
    mixture = mix_leads(leads, names)
    chosen = sorted({position for terms in mixture.positions for position in terms})
    repeated = [name for name, n in Counter(map(str.lower, names)).items() if n > 1]
    if any(names[i].lower() in repeated for i in chosen):
        raise InvalidECGError(f"it has more than one lead named {', '.join(repeated)}.")
    rate = _common_rate(recording, chosen)
    target_rate = float(target.sampling_rate or rate)
    if not _MIN_RATIO <= target_rate / rate <= _MAX_RATIO:
        remedy = f"Choose a rate between {_MIN_RATIO:g} and {_MAX_RATIO} times that of the record"
        problem = f"resampling from {rate:g} to {target_rate:g} Hz is not supported"
        raise InvalidECGError(f"{problem}. {remedy}.")

    signals = recording.read(chosen)
    if len(lengths := {len(values) for values in signals}) > 1:
        listed = ", ".join(map(str, sorted(lengths)))
        problem = f"its leads differ in length ({listed} samples)"
        raise InvalidECGError(f"{problem}. Export it again, or select leads of one length.")
    available = np.zeros((len(names), len(signals[0])))
    available[chosen] = signals
    signal = mixture(available)
    if target.duration is not None and target.step is None:  # one second for the filter's edge
        signal = signal[:, : math.ceil((target.duration + 1) * rate)]
    signal, n_filled = fill_gaps(signal, round(target.max_gap * rate))
    is_kept = recording.keeps_missing & np.isnan(signal).all(axis=1)
    _check_finite(signal[~is_kept], np.array(leads)[~is_kept], rate)
    check_size(len(leads) * signal.shape[1] * target_rate / rate)
    signal = resample(signal, rate, target_rate)
    _check_finite(signal[~is_kept], np.array(leads)[~is_kept], target_rate)  # a filter overshoots
    n_available = signal.shape[1]
    n_samples = _target_length(target, target_rate, n_available)
    check_size(len(leads) * n_samples)
    step = None if target.step is None else round(target.step * target_rate)
    windows = _cut(signal, n_samples, step)
    target = target._replace(leads=leads, sampling_rate=target_rate, n_samples=n_samples)
    padded = n_available < n_samples
    cautions, deviations = recording.cautions, windows[0][~is_kept].std(axis=1, dtype=np.float64)
    deviation = np.median(deviations) if len(deviations) else 1.0
    if not recording.states_units and guess_unit(deviation) == "uV":
        cautions += (f"a typical deviation of {deviation:.3g} mV: pass units= of the file",)
    return DecodedRecord(windows, target, padded, n_filled, mixture.formulas, left_out, cautions)


def _common_rate(recording: Recording, chosen: Sequence[int]) -> float:
    """Return the sampling rate of the chosen leads."""
    rates = {recording.rates[i] for i in chosen}
    if len(rates) > 1:
        listed = ", ".join(f"{rate:g}" for rate in sorted(rates))
        problem = f"its leads differ in sampling rate ({listed} Hz)"
        raise InvalidECGError(f"{problem}. Select leads of one rate.")
    return rates.pop()


def _cut(signal: np.ndarray, n_samples: int, step: int | None) -> np.ndarray:
    """Return windows (n_windows, n_leads, n_samples); without a step one, padded with zeros."""
    n_available = signal.shape[1]
    if step is None or n_available < n_samples:
        windows = np.zeros((1, len(signal), n_samples), np.float32)
        windows[0, :, :n_available] = signal[:, :n_samples]
        return windows
    starts = range(0, n_available - n_samples + 1, step)
    return np.stack([signal[:, start : start + n_samples] for start in starts]).astype(np.float32)


def check_size(n: float) -> None:
    """Refuse to allocate memory for too many samples."""
    if n > _MAX_SAMPLES:
        raise InvalidECGError(f"expected at most {_MAX_SAMPLES} samples in all leads, got {n:.0f}.")


def _target_length(target: TargetFormat, rate: float, n_available: int) -> int:
    """Return the number of samples in the result, for a record of `n_available` samples."""
    if target.duration is None:
        if target.n_samples in (None, n_available):
            return n_available
        expected = f"{target.n_samples} samples at {rate:g} Hz as in the first record"
        remedy = "Pass duration= (seconds) to crop longer and pad shorter records"
        raise LengthMismatch(f"expected {expected}, got {n_available}. {remedy}.")
    if (n_samples := round(target.duration * rate)) < 1:
        raise InvalidECGError(f"{target.duration:g} s hold no sample at {rate:g} Hz.")
    return n_samples


def _check_finite(signal: np.ndarray, leads: Sequence[str], rate: float) -> None:
    """Refuse NaN (which marks invalid samples), infinities and overflow of float32."""
    bad = ~(np.abs(signal) <= np.finfo(np.float32).max)
    if bad.any():
        lead, sample = np.argwhere(bad)[0]
        problem = f"it has {bad.sum()} samples that are not finite (marked as invalid?)"
        first = f"first in lead {leads[lead]} at sample {sample}"
        gaps = [np.ptp(gap) for values in signal for gap in find_gaps(values)]
        remedy = ""
        if gaps and max(gaps) < signal.shape[1]:
            seconds = math.ceil(1000 * max(gaps) / rate) / 1000
            remedy = f" A reader with max_gap={seconds:g} (seconds) interpolates them."
        raise InvalidECGError(f"{problem}, {first}.{remedy}")
