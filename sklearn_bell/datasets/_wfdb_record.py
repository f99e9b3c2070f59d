"""One WFDB record: checks of its files before memory is allocated, and decoding of its samples."""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sklearn_bell.datasets._files import ReadPolicy, resolve_inside
from sklearn_bell.datasets._header import Header, Signal, read_header
from sklearn_bell.datasets._record import MILLIVOLTS, Recording, check_size
from sklearn_bell.exceptions import InvalidECGError


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


def parse_header(path: str, parse, policy: ReadPolicy):
    """Apply a parser to the header of the record at an absolute path."""
    folder, name = os.path.split(path)
    try:
        return parse(resolve_inside(folder, f"{name}.hea", policy))
    except OSError as error:
        problem = f"its header {name}.hea cannot be read ({error.strerror})"
        raise InvalidECGError(f"{problem}. Read other formats than WFDB by read_ecg.") from error


def open_wfdb(path: str, policy: ReadPolicy, adc_gain: float | None = None) -> Recording:
    """Open the record at an absolute path without extension. Errors state the cause only.

    `adc_gain`, digital values per mV, replaces wrong gains of a header.
    """
    folder = os.path.dirname(path)
    header = parse_header(path, read_header, policy)
    n_frames = _check_files(header, folder, policy)

    def read(positions):
        digital = _read_digital(header, folder, n_frames)
        pairs = [(header.signals[i], digital[i]) for i in positions]
        leads = [_to_millivolts(*pair, adc_gain, policy.verify) for pair in pairs]
        n_samples = min(map(len, leads))  # skewed leads end earlier
        return [lead[:n_samples] for lead in leads]

    names = [signal.name for signal in header.signals]
    return Recording(names, [header.rate * s.per_frame for s in header.signals], read)


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
    check_size((n_frames or 0) * sum(signal.per_frame for signal in header.signals))
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
    elif (unit := signal.unit.lower()) in MILLIVOLTS:
        with np.errstate(over="ignore", invalid="ignore"):  # _check_finite reports overflow
            values = (digital - signal.baseline) * (MILLIVOLTS[unit] / signal.gain)
    else:
        problem = f"its lead {signal.name} has the unknown unit {signal.unit!r}"
        raise InvalidECGError(f"{problem}. Expected mV, uV or V.")
    if n_bits := _FORMATS[signal.format].n_bits:
        values[digital == -(2 ** (n_bits - 1))] = np.nan
    return values[signal.skew * signal.per_frame :]
