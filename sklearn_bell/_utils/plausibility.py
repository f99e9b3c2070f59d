"""Warnings about records that are valid arrays, but hardly what was meant.

Every public method checks once, on at most 256 records; calls inside of it do not check again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from sklearn_bell._utils.beats import heart_rates
from sklearn_bell._utils.leads import STANDARD_LEADS, mix_leads, standard_name
from sklearn_bell._utils.warn import warn_caller
from sklearn_bell.exceptions import InvalidECGError, RecordWarning

_MOST_LEADS = 64
_MOST_RECORDS, _MOST_SAMPLES = 256, 2000  # of each record, that are looked at
_N_SLICES, _ROWS_OF_SLICE = 4, 16  # chunks of other sources than arrays, and rows of each
_LEAST, _MOST = 0.005, 20.0  # mV, of the median standard deviation of leads
_FEW_RECORDS = 0.02  # at the limits of an ADC: 1 % of CinC 2011
_UNLIKE_EINTHOVEN, _UNLIKE_SCALED = 0.2, 0.3  # of the size of I and II, or of the lead
HEART_RATES = 30, 220  # per minute, of a patient
_COHORT, _COHORT_RATES = 8, (45, 140)  # so many records or more, and the rates of most
_LEAST_DURATION, _MOST_RATES = 2.0, 64  # s of a record, and records, for heart rates

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
    _check_limb_leads(x, lead_names)
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


def is_contradictory(x, names, scaled=False):
    """Return True for records (n, n_leads, n_samples) whose limb leads contradict each other.

    `x` has mean zero. Without I, II and another limb lead, or with a flat one, there is no
    contradiction. With `scaled`, each lead may have a positive factor.
    """
    leads = [lead for lead in STANDARD_LEADS[2:6] if lead in names]
    if not leads or not {"I", "II"} <= set(names):
        return np.zeros(len(x), bool)
    basis = x[:, [names.index("I"), names.index("II")]]
    derived = x[:, [names.index(lead) for lead in leads]]
    mixture = mix_leads(leads, ("I", "II"))
    errors = np.abs(derived - mixture(basis)).mean(axis=-1).max(axis=1)
    size = np.abs(mix_leads(STANDARD_LEADS[:3], ("I", "II"))(basis)).mean(axis=(1, 2))
    is_wrong = basis.any(axis=-1).all(axis=1) & derived.any(axis=-1).all(axis=1)
    is_wrong &= errors > _UNLIKE_EINTHOVEN * size
    if scaled:
        errors = _errors_of_scaled_leads(basis[is_wrong], derived[is_wrong], mixture)
        is_wrong[is_wrong] = errors > _UNLIKE_SCALED
    return is_wrong


def _errors_of_scaled_leads(basis, derived, mixture):
    """Return the relative error of the worst derived lead (n,), after a positive factor of each.

    Of the ratios of II and I that least squares find for each derived lead, the best is taken.
    """
    transposed = basis.swapaxes(1, 2)
    factors = derived @ transposed @ np.linalg.pinv(basis @ transposed) / np.array(mixture.weights)
    errors = []
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.nan_to_num(factors[..., 1] / factors[..., 0]).clip(1e-3, 1e3)  # (n, n_derived)
    for ratio in ratios.T:
        scaled = mixture(np.stack([basis[:, 0], basis[:, 1] * ratio[:, None]], axis=1))
        size = np.sqrt((scaled**2).sum(axis=-1) * (derived**2).sum(axis=-1))
        cosine = (scaled * derived).sum(axis=-1) / np.where(size > 0, size, 1)
        errors.append(np.sqrt(1 - cosine.clip(0, 1) ** 2).max(axis=1))
    return np.min(errors, axis=0)


def _check_unit(deviations):
    """Warn unless the standard deviations (n, n_leads) are those of millivolts."""
    deviations = np.where(deviations > 1e-9, deviations, np.nan)
    if np.isnan(deviations).all():
        return
    typical = np.nanmedian(deviations)
    if guess_unit(typical) == "mV":
        is_large = np.nan_to_num(deviations) > _MOST
        of_records, of_leads = (is_large.mean(axis=axis) > 0.5 for axis in (1, 0))
        if of_records.sum() > max(1, _FEW_RECORDS * len(of_records)) or of_leads.any():
            warn_caller(
                "Expected millivolts, but some records or leads of X are probably in microvolts, "
                "or values of an ADC. See the column unit of "
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


def _check_limb_leads(x, lead_names):
    names = [standard_name(name) for name in lead_names] if lead_names is not None else []
    if len(names) == x.shape[1] and is_contradictory(x, names, scaled=True).mean() > 0.5:
        warn_caller(
            f"In most records the limb leads contradict each other (II is not I + III, or an "
            f"augmented lead is not their mean). Is {', '.join(names)} the order of the leads of "
            "X, and are the electrodes not exchanged?",
            RecordWarning,
        )


def _check_heart_rates(x, sampling_rate):
    rates = heart_rates(x, sampling_rate)
    low, high = HEART_RATES if len(rates) < _COHORT else _COHORT_RATES
    if ((rates >= low) & (rates <= high)).mean() < 0.5:
        median = np.median(rates)
        typical = f"about {round(median, -1):.0f} beats per minute"
        typical = typical if np.isfinite(median) else "no beats"
        warn_caller(
            f"Most records have {typical} at a sampling rate of {sampling_rate:g} Hz. Is it that "
            "of X? Set sampling_rate (of the pretrainer, if there is one), or convert X with "
            "Resampler.",
            RecordWarning,
        )
