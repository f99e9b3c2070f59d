"""One WFDB record, decoded and converted to a target format.

The files are not trusted: sizes are checked against the header before memory is allocated, and no
file outside the allowed folder is opened.
"""

from __future__ import annotations

import math
import os
import stat
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from sklearn_bell._utils.leads import STANDARD_LEADS, lead_positions, standard_name
from sklearn_bell._utils.signal import resample
from sklearn_bell.datasets._header import Header, Signal, read_comments, read_header
from sklearn_bell.exceptions import InvalidECGError

with warnings.catch_warnings():  # wfdb 4.3 uses what pandas 3 deprecates
    warnings.filterwarnings("ignore", module=r"wfdb\.")
    import wfdb

_MILLIVOLTS = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "\u00b5v": 1e-3, "\u03bcv": 1e-3}  # two letters mu
_FLAC = ("508", "516", "524")
_BYTES = {  # per sample, by WFDB format; of compressed files "bytes" count samples
    **{"8": 1, "80": 1, "16": 2, "61": 2, "160": 2, "24": 3, "32": 4},
    **{"212": 3 / 2, "310": 4 / 3, "311": 4 / 3},
    **dict.fromkeys(_FLAC, 1),
}
_BLOCK = {"212": 2, "310": 3, "311": 3}  # samples; the last block may be padded
_INVALID = {  # digital value of an invalid sample; format 8 has none
    **dict.fromkeys(("80", "508"), -(2**7)),
    **dict.fromkeys(("310", "311"), -(2**9)),
    **dict.fromkeys(("16", "61", "160", "516"), -(2**15)),
    **{"212": -(2**11), "24": -(2**23), "524": -(2**23), "32": -(2**31)},
}
_MAX_SAMPLES = 2**28  # of all leads, decoded or resampled: a day of twelve leads at 250 Hz
_MIN_RATIO, _MAX_RATIO = 1e-3, 50  # of sampling rates
T = TypeVar("T")


class TargetFormat(NamedTuple):
    """Leads, rate and length of the result; None where the record decides.

    Without `duration` a record must have `n_samples`, else it is cropped or padded.
    """

    leads: tuple[str, ...] | None = None
    sampling_rate: float | None = None  # Hz
    duration: float | None = None  # seconds
    n_samples: int | None = None
    adc_gain: float | None = None  # digital values per mV, to replace wrong gains of the headers


class ReadPolicy(NamedTuple):
    """Checks of the files."""

    root: str | os.PathLike[str] | None = None  # holds all files; None: the folder of the record
    verify: bool = True  # compare samples with length and checksum in the header
    allow_links: bool = False  # out of the root
    scratch: str | None = None  # folder for temporary headers; needed for reading samples


class LengthMismatch(InvalidECGError):
    """A record differs in length from the first."""


class DecodedRecord(NamedTuple):
    """Signal of one record."""

    signal: np.ndarray  # float32 (n_leads, n_samples), mV
    format: TargetFormat  # without None, except for duration and adc_gain
    padded: bool


def try_each(read: Callable[..., T], paths: Iterable[str], *args: Any) -> list[T | Exception]:
    """Apply a reader of one record to each path; return errors in place of results."""
    results: list[T | Exception] = []
    for path in paths:
        try:
            results.append(read(path, *args))
        except (InvalidECGError, MemoryError) as error:
            results.append(error)
    return results


def read_record_comments(path: str, policy: ReadPolicy) -> dict[str, str]:
    """Return the named comments in the header of the record at an absolute path."""
    return _from_header(read_comments, path, policy)


def read_record(path: str, target: TargetFormat, policy: ReadPolicy) -> DecodedRecord:
    """Read the record at an absolute path without extension. Errors state the cause only."""
    folder = os.path.dirname(path)
    header = _check_files(_from_header(read_header, path, policy), folder, policy)

    names = [standard_name(signal.name) for signal in header.signals]
    leads = target.leads or _in_standard_order(names)
    chosen = lead_positions(leads, names)
    repeated = [name for name, n in Counter(map(str.lower, names)).items() if n > 1]
    if any(names[i].lower() in repeated for i in chosen):
        raise InvalidECGError(f"it has more than one lead named {', '.join(repeated)}.")

    rate = _common_rate(header, chosen)
    target_rate = float(target.sampling_rate or rate)
    digital = _read_digital(header, folder, str(policy.scratch))
    signal = np.stack(
        [_to_millivolts(header.signals[i], digital[i], target, policy) for i in chosen]
    )
    if target.duration is not None:  # one second more, for the edge of the filter
        signal = signal[:, : math.ceil((target.duration + 1) * rate)]
    _check_finite(signal, leads)

    if not _MIN_RATIO <= target_rate / rate <= _MAX_RATIO:
        raise InvalidECGError(
            f"resampling from {rate:g} to {target_rate:g} Hz is not supported. Choose a rate "
            f"between {_MIN_RATIO:g} and {_MAX_RATIO} times that of the record."
        )
    _check_size(len(leads) * signal.shape[1] * target_rate / rate)
    signal = resample(signal, rate, target_rate)
    _check_finite(signal, leads)  # a filter overshoots
    n_available = signal.shape[1]
    n_samples = _target_length(target, target_rate, n_available)
    _check_size(len(leads) * n_samples)
    fitted = np.zeros((len(leads), n_samples), dtype=np.float32)
    fitted[:, :n_available] = signal[:, :n_samples]
    target = target._replace(leads=tuple(leads), sampling_rate=target_rate, n_samples=n_samples)
    return DecodedRecord(fitted, target, padded=n_available < n_samples)


def resolve_inside(folder: str | os.PathLike[str], name: str, policy: ReadPolicy) -> str:
    """Return the path of a regular file, inside the root of the policy once links are followed."""
    if name in (".", "..") or any(separator in name for separator in "/\\:\0"):
        raise InvalidECGError(f"its header points outside its own folder, to {name}.")
    path = os.path.join(folder, name)
    root = os.path.realpath(policy.root or folder)
    if not policy.allow_links and os.path.commonpath([os.path.realpath(path), root]) != root:
        raise InvalidECGError(
            f"its file {name} is a link out of {root}. Pass allow_links=True if you trust it."
        )
    if not stat.S_ISREG(os.stat(path).st_mode):  # reading a pipe would block
        raise InvalidECGError(f"its file {name} is not a regular file.")
    return path


def _from_header(read: Callable[[str], T], path: str, policy: ReadPolicy) -> T:
    folder, name = os.path.split(path)
    try:
        return read(resolve_inside(folder, f"{name}.hea", policy))
    except OSError as error:
        raise InvalidECGError(
            f"its header {name}.hea cannot be read ({error.strerror})."
        ) from error


def _by_file(header: Header) -> list[tuple[str, list[Signal]]]:
    """Return the signals of each file: a file holds all its signals, frame by frame."""
    return [(file, list(group)) for file, group in groupby(header.signals, lambda s: s.file)]


def _check_files(header: Header, folder: str, policy: ReadPolicy) -> Header:
    """Check that the signal files hold the declared samples; fill in the number of frames."""
    n_frames = header.n_frames
    files = _by_file(header)
    if len({file for file, _ in files}) < len(files):
        raise InvalidECGError("its header lists the signals of one file in several places.")
    for file, signals in files:
        fmt, offset = signals[0].format, signals[0].offset
        if any((signal.format, signal.offset) != (fmt, offset) for signal in signals):
            raise InvalidECGError(f"its header declares several formats for its file {file}.")
        if fmt not in _BYTES:
            raise InvalidECGError(f"its file {file} has the unknown format {fmt}.")
        try:
            size = _file_size(resolve_inside(folder, file, policy), fmt, offset)
        except OSError as error:
            problem = "is missing" if isinstance(error, FileNotFoundError) else "cannot be read"
            raise InvalidECGError(f"its file {file} {problem} ({error.strerror}).") from error
        n_samples = math.floor(size / _BYTES[fmt])
        per_frame = sum(signal.per_frame for signal in signals)
        if n_frames is None and per_frame:
            n_frames = n_samples // per_frame
        expected = per_frame * (n_frames or 0)
        if n_samples < expected:
            raise InvalidECGError(
                f"its signal file {file} is truncated: expected {expected} samples, got "
                f"{n_samples}. Download it again."
            )
        block = _BLOCK.get(fmt, 1)
        excess = size - math.ceil(expected / block) * round(block * _BYTES[fmt])
        if policy.verify and excess > 0:
            raise InvalidECGError(
                f"its signal file {file} is too long: expected {expected} samples, got {n_samples} "
                f"({excess} {'samples' if fmt in _FLAC else 'bytes'} too many). Download it again, "
                "or pass verify=False where the reader has this option."
            )
    _check_size((n_frames or 0) * sum(signal.per_frame for signal in header.signals))
    if not n_frames or any(not signal.per_frame for signal in header.signals):
        raise InvalidECGError("it has no samples.")
    if any(signal.skew >= n_frames for signal in header.signals):
        raise InvalidECGError("the skew of a lead exceeds the length of the record.")
    return header._replace(n_frames=n_frames)


def _file_size(path: str, fmt: str, offset: int) -> int:
    """Return the number of bytes of samples, or of samples if the file is compressed."""
    if fmt not in _FLAC:
        return max(0, os.path.getsize(path) - offset)
    import soundfile  # a dependency of wfdb, for compressed files alone

    try:
        stream = soundfile.info(path)
    except RuntimeError as error:
        raise InvalidECGError(f"its signal file is not a FLAC file ({error}).") from error
    return max(0, (stream.frames - offset) * stream.channels)


def _read_digital(header: Header, folder: str, scratch: str) -> list[np.ndarray]:
    """Return the digital values of all signals, float64, NaN where marked as invalid.

    wfdb gets a minimal header of its own, beside links to the checked files in a scratch folder:
    so it never parses the original, whose dates or file names it may reject or misread. Signals
    of a file are declared as one where its format allows, since wfdb parses lines slowly.
    """
    lines, joined = [], []  # joined: for each declared signal, the signals that it consists of
    name = f"{os.getpid()}-{threading.get_ident()}"  # workers share the folder
    try:
        for number, (file, signals) in enumerate(_by_file(header)):
            link = Path(scratch, f"{name}-{number}.dat")
            link.unlink(missing_ok=True)  # of the previous record
            link.symlink_to(os.path.join(folder, file))
            separate = signals[0].format in ("8", *_FLAC)
            groups = [[signal] for signal in signals] if separate else [signals]
            lines += [_signal_line(link.name, group) for group in groups]
            joined += groups
        path = Path(scratch, f"{name}.hea")
        path.unlink(missing_ok=True)  # on some file systems faster than truncating
        path.write_text("\n".join([f"record {len(lines)} 1 {header.n_frames}", *lines]))
        # a gain of 1 gives digital values
        record = wfdb.rdrecord(path.with_suffix(""), smooth_frames=False)
    except Exception as error:  # any failure of wfdb on an invalid file
        raise InvalidECGError(f"wfdb cannot read it ({type(error).__name__}: {error}).") from error
    digital = []
    for values, signals in zip(record.e_p_signal, joined, strict=True):
        ends = np.cumsum([signal.per_frame for signal in signals])
        frames = values.reshape(-1, ends[-1])  # (n_frames, samples per frame)
        digital += [part.ravel() for part in np.split(frames, ends[:-1], axis=1)]
    return digital


def _signal_line(file: str, signals: Sequence[Signal]) -> str:
    first, per_frame = signals[0], sum(signal.per_frame for signal in signals)
    return f"{file} {first.format}x{per_frame}+{first.offset} 1(0)/mV 16 0 {first.initial}"


def _in_standard_order(names: Sequence[str]) -> list[str]:
    """Put the twelve leads first, in their order, if all are present."""
    if not set(STANDARD_LEADS) <= set(names):
        return list(names)
    return [*STANDARD_LEADS, *(name for name in names if name not in STANDARD_LEADS)]


def _common_rate(header: Header, chosen: Sequence[int]) -> float:
    """Return the sampling rate of the chosen signals in Hz."""
    rates = {header.rate * header.signals[i].per_frame for i in chosen}
    if len(rates) > 1:
        listed = ", ".join(f"{rate:g}" for rate in sorted(rates))
        raise InvalidECGError(
            f"its leads differ in sampling rate ({listed} Hz). Select leads of one rate."
        )
    return rates.pop()


def _to_millivolts(
    signal: Signal, digital: np.ndarray, target: TargetFormat, policy: ReadPolicy
) -> np.ndarray:
    """Convert the digital values of one signal to mV, float64 (n_samples,)."""
    if policy.verify and signal.checksum is not None:
        integers = np.nan_to_num(digital, nan=_INVALID.get(signal.format, 0)).astype(np.int64)
        checksum = int(integers.sum()) % 2**16
        if checksum != signal.checksum:
            raise InvalidECGError(
                f"its lead {signal.name} is corrupt: expected the checksum {signal.checksum}, got "
                f"{checksum}. Download it again."
            )
    if target.adc_gain is not None:
        values = digital / target.adc_gain
    elif (unit := signal.unit.lower()) in _MILLIVOLTS:
        with np.errstate(over="ignore", invalid="ignore"):  # _check_finite reports overflow
            values = (digital - signal.baseline) * (_MILLIVOLTS[unit] / signal.gain)
    else:
        raise InvalidECGError(
            f"its lead {signal.name} has the unknown unit {signal.unit!r}. Expected mV, uV or V."
        )
    n_skewed = signal.skew * signal.per_frame  # missing at the end
    return np.concatenate([values[n_skewed:], np.full(n_skewed, np.nan)])


def _check_size(n_samples: float) -> None:
    """Refuse to allocate too much memory."""
    if n_samples > _MAX_SAMPLES:
        raise InvalidECGError(
            f"expected at most {_MAX_SAMPLES} samples in all leads, got {n_samples:.0f}."
        )


def _target_length(target: TargetFormat, rate: float, n_available: int) -> int:
    """Return the number of samples in the result, for a record of `n_available` samples."""
    if target.duration is not None:
        n_samples = round(target.duration * rate)
        if n_samples < 1:
            raise InvalidECGError(f"{target.duration:g} s hold no sample at {rate:g} Hz.")
        return n_samples
    if target.n_samples not in (None, n_available):
        raise LengthMismatch(
            f"expected {target.n_samples} samples at {rate:g} Hz as in the first record, got "
            f"{n_available}. Pass duration= (seconds) to crop longer and pad shorter records."
        )
    return n_available


def _check_finite(signal: np.ndarray, leads: Sequence[str]) -> None:
    """Refuse NaN (which marks invalid samples), infinities and overflow of float32."""
    bad = ~(np.abs(signal) <= np.finfo(np.float32).max)
    if bad.any():
        lead, sample = np.argwhere(bad)[0]
        raise InvalidECGError(
            f"it has {bad.sum()} samples that are not finite (marked as invalid?), first in lead "
            f"{leads[lead]} at sample {sample}."
        )
