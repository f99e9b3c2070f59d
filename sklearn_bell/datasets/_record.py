"""One WFDB record, decoded and converted to a target format.

Files are not trusted: sizes are checked before memory is allocated, and links before files open.
"""

from __future__ import annotations

import math
import os
import stat
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sklearn_bell._utils.leads import STANDARD_LEADS, mix_leads, standard_name
from sklearn_bell._utils.signal import resample
from sklearn_bell.datasets._header import Header, Signal, read_header
from sklearn_bell.exceptions import InvalidECGError

_MILLIVOLTS = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "\u00b5v": 1e-3, "\u03bcv": 1e-3}  # two letters mu


class _Format(NamedTuple):
    """Encoding of samples. numpy reads formats with a dtype, wfdb the others."""

    n_bits: int = 0  # the least value marks invalid samples; 0: none does
    block: tuple[int, int] = (1, 1)  # samples and their bytes; the last block may be padded
    dtype: str | None = None
    is_flac: bool = False  # "bytes" count samples


_FORMATS = {
    "8": _Format(),
    "16": _Format(16, (1, 2), "<i2"),
    "24": _Format(24, (1, 3)),
    "32": _Format(32, (1, 4), "<i4"),
    "61": _Format(16, (1, 2), ">i2"),
    "80": _Format(8, (1, 1), "u1"),
    "160": _Format(16, (1, 2), "<u2"),
    "212": _Format(12, (2, 3)),
    "310": _Format(10, (3, 4)),
    "311": _Format(10, (3, 4)),
    "508": _Format(8, is_flac=True),
    "516": _Format(16, is_flac=True),
    "524": _Format(24, is_flac=True),
}
_MAX_SAMPLES = 2**28  # of all leads, decoded or resampled: a day of twelve leads at 250 Hz
_MIN_RATIO, _MAX_RATIO = 1e-3, 50  # of sampling rates


class TargetFormat(NamedTuple):
    """Leads, rate and length of the result; None where the record decides."""

    leads: tuple[str, ...] | None = None
    sampling_rate: float | None = None  # Hz
    duration: float | None = None  # s, to crop or pad; without, a record must have n_samples
    n_samples: int | None = None
    adc_gain: float | None = None  # digital values per mV, to replace wrong gains of the headers


class ReadPolicy(NamedTuple):
    """Checks of the files."""

    root: str | os.PathLike[str] | None = None  # holds all files; None: the folder of the record
    verify: bool = True  # compare samples with length and checksum in the header
    allow_links: bool = False  # out of the root


class LengthMismatch(InvalidECGError):
    """Another length than that of the first record."""


class DecodedRecord(NamedTuple):
    """Signal of one record."""

    signal: np.ndarray  # float32 (n_leads, n_samples), mV
    format: TargetFormat  # without None, except for duration and adc_gain
    padded: bool


def try_read(read, path, *args):
    """Apply a reader of one record; return an error in place of the result."""
    try:
        return read(path, *args)
    except (InvalidECGError, MemoryError) as error:
        return error


def parse_header(path: str, parse, policy: ReadPolicy):
    """Apply a parser to the header of the record at an absolute path."""
    folder, name = os.path.split(path)
    try:
        return parse(resolve_inside(folder, f"{name}.hea", policy))
    except OSError as error:
        problem = f"its header {name}.hea cannot be read ({error.strerror})."
        raise InvalidECGError(problem) from error


def read_record(path: str, target: TargetFormat, policy: ReadPolicy) -> DecodedRecord:
    """Read the record at an absolute path without extension. Errors state the cause only."""
    folder = os.path.dirname(path)
    header = parse_header(path, read_header, policy)
    n_frames = _check_files(header, folder, policy)

    names = [standard_name(signal.name) for signal in header.signals]
    first = STANDARD_LEADS if set(STANDARD_LEADS) <= set(names) else ()
    leads = target.leads or tuple(dict.fromkeys([*first, *names]))
    mixture = mix_leads(leads, names)
    chosen = sorted({position for terms in mixture.positions for position in terms})
    repeated = [name for name, n in Counter(map(str.lower, names)).items() if n > 1]
    if any(names[i].lower() in repeated for i in chosen):
        raise InvalidECGError(f"it has more than one lead named {', '.join(repeated)}.")
    rates = {header.rate * header.signals[i].per_frame for i in chosen}
    if len(rates) > 1:
        listed = ", ".join(f"{rate:g}" for rate in sorted(rates))
        problem = f"its leads differ in sampling rate ({listed} Hz)"
        raise InvalidECGError(f"{problem}. Select leads of one rate.")
    rate = rates.pop()
    target_rate = float(target.sampling_rate or rate)
    if not _MIN_RATIO <= target_rate / rate <= _MAX_RATIO:
        remedy = f"Choose a rate between {_MIN_RATIO:g} and {_MAX_RATIO} times that of the record"
        problem = f"resampling from {rate:g} to {target_rate:g} Hz is not supported"
        raise InvalidECGError(f"{problem}. {remedy}.")

    digital = _read_digital(header, folder, n_frames)
    pairs = [(header.signals[i], digital[i]) for i in chosen]
    signal = np.zeros((len(names), n_frames * max(s.per_frame for s, _ in pairs)))
    for i, pair in zip(chosen, pairs, strict=True):
        signal[i] = _to_millivolts(*pair, target.adc_gain, policy.verify)
    signal = mixture(signal)
    if target.duration is not None:  # one second more, for the edge of the filter
        signal = signal[:, : math.ceil((target.duration + 1) * rate)]
    _check_finite(signal, leads)
    _check_size(len(leads) * signal.shape[1] * target_rate / rate)
    signal = resample(signal, rate, target_rate)
    _check_finite(signal, leads)  # a filter overshoots
    n_available = signal.shape[1]
    n_samples = _target_length(target, target_rate, n_available)
    _check_size(len(leads) * n_samples)
    fitted = np.zeros((len(leads), n_samples), dtype=np.float32)
    fitted[:, :n_available] = signal[:, :n_samples]
    target = target._replace(leads=leads, sampling_rate=target_rate, n_samples=n_samples)
    return DecodedRecord(fitted, target, padded=n_available < n_samples)


def resolve_inside(folder: str | os.PathLike[str], name: str, policy: ReadPolicy) -> str:
    """Return the path of a regular file, inside the root of the policy once links are followed."""
    if name in (".", "..") or any(separator in name for separator in "/\\:\0"):
        raise InvalidECGError(f"its header points outside its own folder, to {name}.")
    path = os.path.join(folder, name)
    root = os.path.realpath(policy.root or folder)
    if not policy.allow_links and os.path.commonpath([os.path.realpath(path), root]) != root:
        problem = f"its file {name} is a link out of {root}"
        raise InvalidECGError(f"{problem}. Pass allow_links=True if you trust it.")
    if not stat.S_ISREG(os.stat(path).st_mode):  # reading a pipe would block
        raise InvalidECGError(f"its file {name} is not a regular file.")
    return path


def _by_file(header: Header) -> list[tuple[str, list[Signal]]]:
    """Return the signals of each file: a file holds all its signals, frame by frame."""
    return [(file, list(group)) for file, group in groupby(header.signals, lambda s: s.file)]


def _check_files(header: Header, folder: str, policy: ReadPolicy) -> int:
    """Check that the signal files hold the declared samples, and return the number of frames."""
    n_frames = header.n_frames
    files = _by_file(header)
    if len({file for file, _ in files}) < len(files):
        raise InvalidECGError("its header lists the signals of one file in several places.")
    for file, signals in files:
        fmt, offset = signals[0].format, signals[0].offset
        if any((signal.format, signal.offset) != (fmt, offset) for signal in signals):
            raise InvalidECGError(f"its header declares several formats for its file {file}.")
        encoding = _FORMATS.get(fmt)
        if encoding is None:
            raise InvalidECGError(f"its file {file} has the unknown format {fmt}.")
        try:
            size = _file_size(resolve_inside(folder, file, policy), encoding, offset)
        except OSError as error:
            problem = "is missing" if isinstance(error, FileNotFoundError) else "cannot be read"
            raise InvalidECGError(f"its file {file} {problem} ({error.strerror}).") from error
        block, n_bytes = encoding.block
        n_samples = size * block // n_bytes
        per_frame = sum(signal.per_frame for signal in signals)
        if n_frames is None and per_frame:
            n_frames = n_samples // per_frame
        expected = per_frame * (n_frames or 0)
        if n_samples < expected:
            problem = f"is truncated: expected {expected} samples, got {n_samples}"
            raise InvalidECGError(f"its signal file {file} {problem}. Download it again.")
        excess = size - math.ceil(expected / block) * n_bytes
        if policy.verify and excess > 0:
            unit = "samples" if encoding.is_flac else "bytes"
            problem = f"its signal file {file} is too long: expected {expected} samples, got"
            remedy = "Download it again, or pass verify=False where the reader has this option"
            raise InvalidECGError(f"{problem} {n_samples} ({excess} {unit} too many). {remedy}.")
    _check_size((n_frames or 0) * sum(signal.per_frame for signal in header.signals))
    if not n_frames or any(not signal.per_frame for signal in header.signals):
        raise InvalidECGError("it has no samples.")
    if any(signal.skew >= n_frames for signal in header.signals):
        raise InvalidECGError("the skew of a lead exceeds the length of the record.")
    return n_frames


def _file_size(path: str, encoding: _Format, offset: int) -> int:
    """Return the number of bytes of samples, or of samples if the file is compressed."""
    if not encoding.is_flac:
        return max(0, os.path.getsize(path) - offset)
    import soundfile  # a dependency of wfdb, for compressed files alone

    try:
        stream = soundfile.info(path)
    except RuntimeError as error:
        raise InvalidECGError(f"its signal file is not a FLAC file ({error}).") from error
    return max(0, (stream.frames - offset) * stream.channels)


def _read_digital(header: Header, folder: str, n_frames: int) -> list[np.ndarray]:
    """Return the digital values of all signals, int64."""
    digital = []
    for file, signals in _by_file(header):
        path, encoding = os.path.join(folder, file), _FORMATS[signals[0].format]
        ends = np.cumsum([signal.per_frame for signal in signals])
        try:
            if encoding.dtype:
                n_samples, offset = n_frames * ends[-1], signals[0].offset
                values = np.fromfile(path, encoding.dtype, n_samples, offset=offset)
                zero = 2 ** (encoding.n_bits - 1) if values.dtype.kind == "u" else 0
                frames = values.reshape(n_frames, -1).astype(np.int64) - zero
            else:
                frames = _read_by_wfdb(path, signals, n_frames)
        except Exception as error:  # any failure of wfdb on an invalid file
            problem = f"its file {file} cannot be decoded ({type(error).__name__}: {error})."
            raise InvalidECGError(problem) from error
        digital += [part.ravel() for part in np.split(frames, ends[:-1], axis=1)]
    return digital


def _read_by_wfdb(path: str, signals: Sequence[Signal], n_frames: int) -> np.ndarray:
    """Return the digital values (n_frames, samples per frame) of a file.

    wfdb may reject or misread the original header, for its dates or file names, and gets another.
    """
    with warnings.catch_warnings():  # wfdb 4.3 uses what pandas 3 deprecates
        warnings.filterwarnings("ignore", module=r"wfdb\.")
        import wfdb

    fmt = signals[0].format
    if fmt != "8" and not _FORMATS[fmt].is_flac:  # as one signal, since wfdb parses lines slowly
        signals = [signals[0]._replace(per_frame=sum(signal.per_frame for signal in signals))]
    with tempfile.TemporaryDirectory(prefix="sklearn_bell-") as scratch:
        Path(scratch, "a.dat").symlink_to(path)
        lines = [f"a.dat {fmt}x{s.per_frame}+{s.offset} 1 16 0 {s.initial}" for s in signals]
        Path(scratch, "a.hea").write_text("\n".join([f"a {len(lines)} 1 {n_frames}", *lines]))
        record = wfdb.rdrecord(f"{scratch}/a", physical=False, smooth_frames=False)
    return np.hstack([values.reshape(n_frames, -1) for values in record.e_d_signal])


def _to_millivolts(signal: Signal, digital: np.ndarray, adc_gain: float | None, verify: bool):
    """Convert the digital values of one signal to mV, float64 (n_samples,)."""
    if verify and signal.checksum is not None:
        checksum = int(digital.sum()) % 2**16
        if checksum != signal.checksum:
            problem = f"is corrupt: expected the checksum {signal.checksum}, got {checksum}"
            raise InvalidECGError(f"its lead {signal.name} {problem}. Download it again.")
    if adc_gain is not None:
        values = digital / adc_gain
    elif (unit := signal.unit.lower()) in _MILLIVOLTS:
        with np.errstate(over="ignore", invalid="ignore"):  # _check_finite reports overflow
            values = (digital - signal.baseline) * (_MILLIVOLTS[unit] / signal.gain)
    else:
        problem = f"its lead {signal.name} has the unknown unit {signal.unit!r}"
        raise InvalidECGError(f"{problem}. Expected mV, uV or V.")
    if n_bits := _FORMATS[signal.format].n_bits:
        values[digital == -(2 ** (n_bits - 1))] = np.nan
    n_skewed = signal.skew * signal.per_frame  # missing at the end
    return np.concatenate([values[n_skewed:], np.full(n_skewed, np.nan)])


def _check_size(n: float) -> None:
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


def _check_finite(signal: np.ndarray, leads: Sequence[str]) -> None:
    """Refuse NaN (which marks invalid samples), infinities and overflow of float32."""
    bad = ~(np.abs(signal) <= np.finfo(np.float32).max)
    if bad.any():
        lead, sample = np.argwhere(bad)[0]
        problem = f"it has {bad.sum()} samples that are not finite (marked as invalid?)"
        raise InvalidECGError(f"{problem}, first in lead {leads[lead]} at sample {sample}.")
