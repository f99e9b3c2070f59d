"""Warnings about records that are valid arrays, but hardly what was meant.

Every public method checks once, on at most 256 records; calls inside of it do not check again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from sklearn_bell._utils.beats import heart_rates
from sklearn_bell._utils.leads import STANDARD_LEADS, standard_name
from sklearn_bell._utils.warn import warn_caller
from sklearn_bell.exceptions import InvalidECGError, RecordWarning

_MOST_LEADS = 64
_MOST_RECORDS, _MOST_SAMPLES = 256, 2000  # of each record, that are looked at
_N_SLICES, _ROWS_OF_SLICE = 4, 16  # chunks of other sources than arrays, and rows of each
_LEAST, _MOST = 0.005, 20.0  # mV, of the median standard deviation of leads
_UNLIKE_EINTHOVEN = 0.2  # of the size of the leads
HEART_RATES = 30, 220  # per minute, of a patient
_COHORT, _RATES = 8, (40, 160)  # records or more, and their median
_SHARE_OF_RECORDS = 0.05  # in microvolts
_LEAST_DURATION, _MOST_RATES = 4.0, 64  # s of a record, and records, for heart rates

_is_inside: ContextVar[bool] = ContextVar("is_inside", default=False)


@contextmanager
def checked_outside() -> Iterator[None]:
    """Leave the checks out: the records have been checked by the method that calls."""
    token = _is_inside.set(True)
    try:
        yield
    finally:
        _is_inside.reset(token)


def check_axes(records):
    """Raise InvalidECGError if leads and samples are exchanged; warn about very many leads."""
    _, n_leads, n_samples = records.shape
    if n_leads > n_samples:
        raise InvalidECGError(
            f"X has {n_leads} leads of {n_samples} samples, but expected the shape (n_records, "
            "n_leads, n_samples). If the axes are exchanged, as wfdb.rdsamp returns them, pass "
            "X.transpose(0, 2, 1)."
        )
    if n_leads > _MOST_LEADS and not _is_inside.get():
        warn_caller(
            f"X has {n_leads} leads of {n_samples} samples. If the axes are exchanged, pass "
            "X.transpose(0, 2, 1).",
            RecordWarning,
        )


def check_values(records, lead_names=None, sampling_rate=None):
    """Warn about values that are not millivolts, or do not fit the leads or the sampling rate."""
    if _is_inside.get() or not len(records):
        return
    x = np.nan_to_num(_sample(records).astype(np.float64))
    x -= x.mean(axis=-1, keepdims=True)
    deviations = x.std(axis=-1)  # (n, n_leads)
    _check_unit(deviations)
    _check_limb_leads(x, deviations, lead_names)
    x = x[(deviations > 1e-9).any(axis=1)]
    is_long = sampling_rate is not None and x.shape[-1] >= _LEAST_DURATION * sampling_rate
    if is_long and len(x):
        _check_heart_rates(x[:: -(-len(x) // _MOST_RATES)], sampling_rate)


def _sample(records):
    """Return an even sample of the records, or of a part of each if they are long."""
    n_records, _, n_samples = records.shape
    start = max(0, (n_samples - _MOST_SAMPLES) // 2)
    part = slice(start, start + _MOST_SAMPLES)
    source = records.source
    if isinstance(source, np.ndarray):
        rows = np.unique(np.linspace(0, n_records - 1, _MOST_RECORDS).astype(int))
        x = np.stack([source[row, ..., part] for row in rows])
    else:
        n_rows = records.rows_of_block
        blocks = np.unique(np.linspace(0, (n_records - 1) // n_rows, _N_SLICES).astype(int))
        n_read = max(1, min(n_rows, _ROWS_OF_SLICE))
        slices = [np.asarray(source[i * n_rows : i * n_rows + n_read]) for i in blocks]
        x = np.concatenate(slices)[..., part]
    return x.reshape(len(x), records.shape[1], -1)


def guess_unit(deviation):
    """Return the unit of records whose leads have this typical standard deviation."""
    return "mV" if _LEAST <= deviation <= _MOST else "uV" if deviation > _MOST else "V"


def is_contradictory(x, names):
    """Return True for records (n, n_leads, n_samples) whose limb leads contradict each other.

    `x` has mean zero, and `names` have all limb leads. A flat limb lead is no contradiction.
    """
    i, ii, iii, avr, avl, avf = (x[:, names.index(lead)] for lead in STANDARD_LEADS[:6])
    has_all = np.all([lead.any(axis=-1) for lead in (i, ii, iii, avr, avl, avf)], axis=0)
    errors = [ii - i - iii, avr + (i + ii) / 2, avl - i + ii / 2, avf - ii + i / 2]
    worst = np.max([np.abs(error).mean(axis=1) for error in errors], axis=0)
    return has_all & (worst > _UNLIKE_EINTHOVEN * np.abs(np.stack([i, ii, iii])).mean(axis=(0, 2)))


def _check_unit(deviations):
    by_record = [np.median(row[row > 1e-9]) for row in deviations if (row > 1e-9).any()]
    if not by_record:
        return
    typical = np.median(deviations[deviations > 1e-9])
    if guess_unit(typical) == "mV":
        n_micro = np.sum([guess_unit(deviation) == "uV" for deviation in by_record])
        if n_micro > max(1, _SHARE_OF_RECORDS * len(by_record)):
            warn_caller(
                f"Expected millivolts, but about {n_micro / len(by_record):.0%} of the records "
                "are probably in microvolts, or values of an ADC. See the column unit of "
                "sklearn_bell.preprocessing.check_records.",
                RecordWarning,
            )
        return
    unit = "microvolts, or values of an ADC" if typical > _MOST else "volts"
    factor = "X / 1000" if typical > _MOST else "X * 1000"
    warn_caller(
        # a power of ten, so that Python shows equal warnings once
        "Expected millivolts, but the leads of X have a typical standard deviation of about "
        f"{10.0 ** round(np.log10(typical)):g}: these are probably {unit}. Pass {factor}, or read "
        "the files with units=.",
        RecordWarning,
    )


def _check_limb_leads(x, deviations, lead_names):
    names = [standard_name(name) for name in lead_names] if lead_names is not None else []
    if len(names) != x.shape[1] or not set(STANDARD_LEADS) <= set(names):
        return
    quartiles = np.subtract(*np.quantile(x, [0.75, 0.25], axis=-1))
    for sizes in (deviations, quartiles, np.ptp(x, axis=-1)):
        if np.ptp(sizes, axis=1).max() < 0.01 * sizes.max():  # scaled lead by lead
            return
    if is_contradictory(x, names).mean() > 0.5:
        warn_caller(
            f"In most records the limb leads contradict each other (II is not I + III, or an "
            f"augmented lead is not their mean). Is {', '.join(names)} the order of the leads of "
            "X, and are the electrodes not exchanged?",
            RecordWarning,
        )


def _check_heart_rates(x, sampling_rate):
    rates, (low, high) = heart_rates(x, sampling_rate), HEART_RATES
    observed = rates[np.isfinite(rates)]
    median = np.median(observed) if len(observed) else np.nan
    is_unusual = len(observed) >= _COHORT and not _RATES[0] <= median <= _RATES[1]
    if is_unusual or ((rates >= low) & (rates <= high)).mean() < 0.5:
        typical = f"about {round(median, -1):.0f} beats per minute" if len(observed) else ""
        warn_caller(
            f"Most records have {typical or 'no regular beats'} at a sampling rate of "
            f"{sampling_rate:g} Hz. Is it that of X? Set sampling_rate, or convert X with "
            "Resampler.",
            RecordWarning,
        )
