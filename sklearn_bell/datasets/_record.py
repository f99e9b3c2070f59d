"""One WFDB record, read and brought to the wanted leads, sampling rate and length."""

from __future__ import annotations

import math
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from sklearn_bell._leads import STANDARD_LEADS, lead_positions, standard_name
from sklearn_bell._signal import resample
from sklearn_bell.exceptions import InvalidECGError

with warnings.catch_warnings():  # wfdb 4.3 uses what pandas 3 deprecates
    warnings.filterwarnings("ignore", module=r"wfdb\.")
    import wfdb

_MILLIVOLTS = {"v": 1e3, "mv": 1.0, "uv": 1e-3}
_BYTES = {  # per sample, by WFDB format
    **{"8": 1, "80": 1, "16": 2, "61": 2, "160": 2, "24": 3, "32": 4},
    **{"212": 3 / 2, "310": 4 / 3, "311": 4 / 3},
}


class Layout(NamedTuple):
    """What a record has to become; None where the record itself decides.

    Where `duration` is None a record must have `n_samples`, else it is cropped or padded.
    """

    leads: tuple[str, ...] | None = None
    sampling_rate: float | None = None  # Hz
    duration: float | None = None  # seconds
    n_samples: int | None = None
    adc_gain: float | None = None  # units of the digital values per mV, if the headers are wrong


class OtherLength(str):
    """What is wrong with a record is a length that differs from that of the first."""


class LengthError(InvalidECGError):
    """A record differs in length from the first."""


class Reading(NamedTuple):
    """A record as it was read."""

    signal: np.ndarray  # float32 (n_leads, n_samples), mV
    layout: Layout  # without None, except for duration and adc_gain
    padded: bool


def try_read(path: str, layout: Layout) -> Reading | str:
    """Read a record, or return what is wrong with it. See :func:`read_record`."""
    try:
        return read_record(path, layout)
    except LengthError as error:
        return OtherLength(error)
    except (InvalidECGError, MemoryError) as error:  # a header may promise terabytes
        return str(error)


def read_record(path: str, layout: Layout) -> Reading:
    """Read the record at an absolute path without extension; an error says the cause alone."""
    _check_header(path)
    record = _read_with_wfdb(path)
    names = [standard_name(name or f"signal {i}") for i, name in enumerate(record.sig_name)]
    leads = layout.leads or _in_standard_order(names)
    chosen = lead_positions(leads, names)
    repeated = [name for name, n in Counter(map(str.lower, names)).items() if n > 1]
    if any(names[i].lower() in repeated for i in chosen):
        raise InvalidECGError(f"it has more than one lead named {', '.join(repeated)}.")

    rate = _common_rate(record, chosen)
    wanted_rate = float(layout.sampling_rate or rate)
    signal = _in_millivolts(record, chosen, layout.adc_gain)  # (n_leads, n_samples at its own rate)
    if layout.duration is not None:  # a second more, so that the filter sees how it goes on
        signal = signal[:, : math.ceil((layout.duration + 1) * rate)]
    _check_finite(signal, leads)

    if not 1e-3 <= wanted_rate / rate <= 1e3:
        raise InvalidECGError(f"it is not to be resampled from {rate:g} to {wanted_rate:g} Hz.")
    signal = resample(signal, rate, wanted_rate)
    n_available = signal.shape[1]
    n_samples = _wanted_length(layout, wanted_rate, n_available)
    fitted = np.zeros((len(leads), n_samples), dtype=np.float32)
    fitted[:, :n_available] = signal[:, :n_samples]
    layout = layout._replace(leads=tuple(leads), sampling_rate=wanted_rate, n_samples=n_samples)
    return Reading(fitted, layout, padded=n_available < n_samples)


def _check_header(path: str) -> None:
    """Refuse, before wfdb opens more, a header that it would misread or that points elsewhere."""
    try:
        # the lines that wfdb will see, but with a mark where it drops a character
        with open(f"{path}.hea", encoding="ascii", errors="replace") as file:
            lines = [line.strip() for line in file.read().splitlines()]
    except OSError as error:
        raise InvalidECGError(
            f"its header {os.path.basename(path)}.hea cannot be read ({error.strerror})."
        ) from error
    lines = [line for line in lines if line and not line.startswith("#")]
    if len(lines) < 2:
        raise InvalidECGError("its header has no signals.")
    if "/" in lines[0].split()[0]:
        raise InvalidECGError("it has several segments; read its segments as records instead.")
    for line in lines[1:]:
        if not line.isascii():  # wfdb would make V of µV
            raise InvalidECGError(f"its header has characters that are not ASCII: {line!a}.")
        name = line.split()[0]
        if name == ".." or any(separator in name for separator in "/\\:"):
            raise InvalidECGError(
                f"its header points outside its own folder, to {name}; this is refused."
            )


def _read_with_wfdb(path: str) -> Any:
    """Return wfdb's record, with one array of physical values for each signal."""
    try:
        record = wfdb.rdrecord(path, smooth_frames=False)
    except FileNotFoundError as error:
        missing = os.path.basename(error.filename or "with its signals")
        raise InvalidECGError(f"its file {missing} is missing.") from error
    except Exception as error:  # whatever wfdb trips over in a file that is not as it should be
        try:
            cause = _truncation(path, wfdb.rdheader(path))
        except Exception:  # the header itself
            cause = ""
        cause = cause or f"wfdb cannot read it ({type(error).__name__}: {error})."
        raise InvalidECGError(cause) from error
    # wfdb fills a signal of format 212 from a single sample without a word
    if cause := _truncation(path, record):
        raise InvalidECGError(cause)
    if not record.sig_len:
        raise InvalidECGError("it has no samples.")
    return record


def _truncation(path: str, record: Any) -> str:
    """Say which signal file is shorter than the header promises, or nothing."""
    frames = Counter[str]()  # samples per frame, by file
    for file, samples_per_frame in zip(record.file_name, record.samps_per_frame, strict=True):
        frames[file] += samples_per_frame
    for file, fmt, offset in zip(record.file_name, record.fmt, record.byte_offset, strict=True):
        if fmt not in _BYTES or record.sig_len is None:
            continue  # compressed: wfdb notices; no length: the file decides
        expected = (offset or 0) + math.floor(frames[file] * record.sig_len * _BYTES[fmt])
        size = os.path.getsize(os.path.join(os.path.dirname(path), file))
        if size < expected:
            return f"its signal file {file} is truncated: {size} of {expected} bytes."
    return ""


def _in_standard_order(names: Sequence[str]) -> list[str]:
    """Put the twelve leads first, in their order, if all are there."""
    if not set(STANDARD_LEADS) <= set(names):
        return list(names)
    return [*STANDARD_LEADS, *(name for name in names if name not in STANDARD_LEADS)]


def _common_rate(record: Any, chosen: Sequence[int]) -> float:
    """Return the sampling rate of the chosen signals in Hz."""
    rates = {float(record.fs * record.samps_per_frame[i]) for i in chosen}
    if len(rates) > 1:
        listed = ", ".join(f"{rate:g}" for rate in sorted(rates))
        raise InvalidECGError(f"its leads differ in sampling rate ({listed} Hz).")
    (rate,) = rates
    if not 0 < rate < math.inf:
        raise InvalidECGError(f"its sampling rate is {rate:g} Hz.")
    return rate


def _in_millivolts(record: Any, chosen: Sequence[int], adc_gain: float | None) -> np.ndarray:
    """Return the chosen signals as float64 (n_leads, n_samples)."""
    rows = []
    for i in chosen:
        physical, unit = record.e_p_signal[i], record.units[i]
        if adc_gain is not None:  # back to the digital values
            rows.append((physical * record.adc_gain[i] + record.baseline[i]) / adc_gain)
        elif unit.lower() in _MILLIVOLTS:
            rows.append(physical * _MILLIVOLTS[unit.lower()])
        else:
            raise InvalidECGError(
                f"its lead {record.sig_name[i]} is in the unknown unit {unit!r}, not mV, uV or V."
            )
    return np.stack(rows)


def _wanted_length(layout: Layout, rate: float, n_available: int) -> int:
    """Return the number of samples that a record with `n_available` of them has to have."""
    if layout.duration is not None:
        n_samples = round(layout.duration * rate)
        if n_samples < 1:
            raise InvalidECGError(f"{layout.duration:g} s hold no sample at {rate:g} Hz.")
        return n_samples
    if layout.n_samples not in (None, n_available):
        raise LengthError(
            f"it has {n_available} samples at {rate:g} Hz where the first record has "
            f"{layout.n_samples}; give duration= (seconds) to crop longer and pad shorter records."
        )
    return n_available


def _check_finite(signal: np.ndarray, leads: Sequence[str]) -> None:
    """Refuse NaN (which marks invalid samples), infinities and what float32 cannot hold."""
    bad = ~(np.abs(signal) <= np.finfo(np.float32).max)
    if bad.any():
        lead, sample = np.argwhere(bad)[0]
        raise InvalidECGError(
            f"it has {bad.sum()} samples that are not finite (marked as invalid?), first in lead "
            f"{leads[lead]} at sample {sample}."
        )
