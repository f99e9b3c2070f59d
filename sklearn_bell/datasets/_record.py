"""One WFDB record, read and brought to the wanted leads, sampling rate and length.

Nobody vouches for the files: what they say is held against what is there before memory is asked
for, and no file is opened that lies elsewhere.
"""

from __future__ import annotations

import math
import os
import stat
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from sklearn_bell._utils.leads import STANDARD_LEADS, lead_positions, standard_name
from sklearn_bell._utils.signal import resample
from sklearn_bell.datasets._header import Header, Signal, read_comments, read_header
from sklearn_bell.exceptions import InvalidECGError

with warnings.catch_warnings():  # wfdb 4.3 uses what pandas 3 deprecates
    warnings.filterwarnings("ignore", module=r"wfdb\.")
    from wfdb.io import _signal as wfdb_signal

_MILLIVOLTS = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "\u00b5v": 1e-3, "\u03bcv": 1e-3}  # two letters mu
_BYTES = {  # per sample, by WFDB format
    **{"8": 1, "80": 1, "16": 2, "61": 2, "160": 2, "24": 3, "32": 4},
    **{"212": 3 / 2, "310": 4 / 3, "311": 4 / 3},
}
_SAMPLES_OF_BLOCK = {"212": 2, "310": 3, "311": 3}  # the last may be filled up
_FLAC = ("508", "516", "524")
_MOST_SAMPLES = 2**28  # of all leads, unpacked or resampled: a day of twelve at 250 Hz
_LEAST_RATIO, _LARGEST_RATIO = 1e-3, 50  # of sampling rates
T = TypeVar("T")


class Layout(NamedTuple):
    """What a record has to become; None where the record itself decides.

    Where `duration` is None a record must have `n_samples`, else it is cropped or padded.
    """

    leads: tuple[str, ...] | None = None
    sampling_rate: float | None = None  # Hz
    duration: float | None = None  # seconds
    n_samples: int | None = None
    adc_gain: float | None = None  # units of the digital values per mV, if the headers are wrong


class ReadPolicy(NamedTuple):
    """What is believed of the files."""

    root: str | None = None  # no file may lie outside of it; None: of the folder of its record
    verify: bool = True  # whether samples are held against number and checksum in the header


class LengthMismatch(str):
    """What is wrong with a record is a length that differs from that of the first."""


class LengthError(InvalidECGError):
    """A record differs in length from the first."""


class Reading(NamedTuple):
    """A record as it was read."""

    signal: np.ndarray  # float32 (n_leads, n_samples), mV
    layout: Layout  # without None, except for duration and adc_gain
    padded: bool


def try_read(path: str, layout: Layout, trust: ReadPolicy) -> Reading | str:
    """Read a record, or return what is wrong with it. See :func:`read_record`."""
    try:
        return read_record(path, layout, trust)
    except LengthError as error:
        return LengthMismatch(error)
    except (InvalidECGError, MemoryError) as error:
        return str(error)


def try_read_all(paths: Sequence[str], layout: Layout, trust: ReadPolicy) -> list[Reading | str]:
    """Read several records, one after the other. See :func:`try_read`."""
    return [try_read(path, layout, trust) for path in paths]


def read_record(path: str, layout: Layout, trust: ReadPolicy) -> Reading:
    """Read the record at an absolute path without extension; an error says the cause alone."""
    folder, root = os.path.dirname(path), _root(path, trust)
    header = _with_length(_from_header(read_header, path, root), folder, root, trust.verify)

    names = [standard_name(signal.name) for signal in header.signals]
    leads = layout.leads or _in_standard_order(names)
    chosen = lead_positions(leads, names)
    repeated = [name for name, n in Counter(map(str.lower, names)).items() if n > 1]
    if any(names[i].lower() in repeated for i in chosen):
        raise InvalidECGError(f"it has more than one lead named {', '.join(repeated)}.")

    rate = _common_rate(header, chosen)
    wanted_rate = float(layout.sampling_rate or rate)
    signal = _in_millivolts(header, chosen, _digital_values(header, chosen, folder), layout, trust)
    if layout.duration is not None:  # a second more, so that the filter sees how it goes on
        signal = signal[:, : math.ceil((layout.duration + 1) * rate)]
    _check_finite(signal, leads)

    if not _LEAST_RATIO <= wanted_rate / rate <= _LARGEST_RATIO:
        raise InvalidECGError(f"it is not to be resampled from {rate:g} to {wanted_rate:g} Hz.")
    _check_size(len(leads) * signal.shape[1] * wanted_rate / rate)
    signal = resample(signal, rate, wanted_rate)
    _check_finite(signal, leads)  # a filter overshoots
    n_available = signal.shape[1]
    n_samples = _wanted_length(layout, wanted_rate, n_available)
    _check_size(len(leads) * n_samples)
    fitted = np.zeros((len(leads), n_samples), dtype=np.float32)
    fitted[:, :n_available] = signal[:, :n_samples]
    layout = layout._replace(leads=tuple(leads), sampling_rate=wanted_rate, n_samples=n_samples)
    return Reading(fitted, layout, padded=n_available < n_samples)


def try_comments(path: str, trust: ReadPolicy) -> dict[str, str] | str:
    """Read the comments in the header of a record, by name, or return what is wrong with it."""
    try:
        return _from_header(read_comments, path, _root(path, trust))
    except InvalidECGError as error:
        return str(error)


def _root(path: str, trust: ReadPolicy) -> str:
    return os.path.realpath(trust.root or os.path.dirname(path))


def _from_header(read: Callable[[str], T], path: str, root: str) -> T:
    folder, name = os.path.split(path)
    try:
        return read(resolve_inside(folder, f"{name}.hea", root))
    except OSError as error:
        raise InvalidECGError(
            f"its header {name}.hea cannot be read ({error.strerror})."
        ) from error


def resolve_inside(folder: str, name: str, root: str) -> str:
    """Return the path of a file, which has to be one and to lie in `root`, links followed.

    An error says the cause alone.
    """
    if name in (".", "..") or any(separator in name for separator in "/\\:\0"):
        raise InvalidECGError(
            f"its header points outside its own folder, to {name}; this is refused."
        )
    path = os.path.join(folder, name)
    target = os.path.realpath(path)
    if os.path.commonpath([target, root]) != root:
        raise InvalidECGError(
            f"its file {name} is a link out of {root}; this is refused, unless allow_links=True."
        )
    if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would keep us waiting
        raise InvalidECGError(f"its file {name} is no ordinary file.")
    return path


def _with_length(header: Header, folder: str, root: str, verify: bool) -> Header:
    """Return the header with a number of frames that its signal files have, or say what is wrong.

    Each file holds its signals one after the other, frame by frame, in one format.
    """
    files: dict[str, list[Signal]] = {}
    for signal in header.signals:
        files.setdefault(signal.file, []).append(signal)
    if [signal for signals in files.values() for signal in signals] != list(header.signals):
        raise InvalidECGError("its header names the signals of a file in several places.")
    n_frames = header.n_frames
    for file, signals in files.items():
        form, offset = signals[0].format, signals[0].offset
        if any((signal.format, signal.offset) != (form, offset) for signal in signals):
            raise InvalidECGError(f"its header gives several formats to its file {file}.")
        if form not in _BYTES and form not in _FLAC:
            raise InvalidECGError(f"its file {file} has the unknown format {form}.")
        try:
            size = _size_of_file(resolve_inside(folder, file, root), form, offset)
        except OSError as error:
            what = "is missing" if isinstance(error, FileNotFoundError) else "cannot be read"
            raise InvalidECGError(f"its file {file} {what} ({error.strerror}).") from error
        n_samples = math.floor(size / _BYTES.get(form, 1))
        per_frame = sum(signal.per_frame for signal in signals)
        if n_frames is None and per_frame:
            n_frames = n_samples // per_frame
        expected = per_frame * (n_frames or 0)
        if n_samples < expected:
            raise InvalidECGError(
                f"its signal file {file} is truncated: it has {n_samples} of {expected} samples."
            )
        n_too_many = size - _size(expected, form)
        if verify and n_too_many > 0:
            raise InvalidECGError(
                f"its signal file {file} has {n_samples} samples, but its header promises "
                f"{expected}: {n_too_many} {'samples' if form in _FLAC else 'bytes'} too many."
            )
    _check_size((n_frames or 0) * sum(signal.per_frame for signal in header.signals))
    if not n_frames or any(not signal.per_frame for signal in header.signals):
        raise InvalidECGError("it has no samples.")
    if any(signal.skew >= n_frames for signal in header.signals):
        raise InvalidECGError("its leads are skewed by more than their length.")
    return header._replace(n_frames=n_frames)


def _size_of_file(path: str, form: str, offset: int) -> int:
    """Return how many bytes of samples there are in a file, or samples where it is compressed."""
    if form in _BYTES:
        return max(0, os.path.getsize(path) - offset)
    import soundfile  # a dependency of wfdb, for compressed files alone

    try:
        stream = soundfile.info(path)
    except RuntimeError as error:
        raise InvalidECGError(f"its signal file is no FLAC file ({error}).") from error
    return max(0, (stream.frames - offset) * stream.channels)


def _size(n_samples: int, form: str) -> int:
    """Return the greatest such size of so many samples: the last block may be filled up."""
    block = _SAMPLES_OF_BLOCK.get(form, 1)
    return math.ceil(n_samples / block) * round(block * _BYTES.get(form, 1))


def _digital_values(header: Header, chosen: Sequence[int], folder: str) -> list[np.ndarray]:
    """Return the samples of the chosen signals as they are in the files."""
    signals = header.signals
    try:
        return wfdb_signal._rd_segment(
            file_name=[signal.file for signal in signals],
            dir_name=folder,
            pn_dir=None,
            fmt=[signal.format for signal in signals],
            n_sig=len(signals),
            sig_len=header.n_frames,
            byte_offset=[signal.offset for signal in signals],
            samps_per_frame=[signal.per_frame for signal in signals],
            skew=[0 for _ in signals],  # checksums are of all samples
            init_value=[signal.initial for signal in signals],
            sampfrom=0,
            sampto=header.n_frames,
            channels=list(chosen),
            ignore_skew=False,
        )
    except Exception as error:  # whatever it trips over in a file that is not as it should be
        raise InvalidECGError(f"wfdb cannot read it ({type(error).__name__}: {error}).") from error


def _in_standard_order(names: Sequence[str]) -> list[str]:
    """Put the twelve leads first, in their order, if all are there."""
    if not set(STANDARD_LEADS) <= set(names):
        return list(names)
    return [*STANDARD_LEADS, *(name for name in names if name not in STANDARD_LEADS)]


def _common_rate(header: Header, chosen: Sequence[int]) -> float:
    """Return the sampling rate of the chosen signals in Hz."""
    rates = {header.rate * header.signals[i].per_frame for i in chosen}
    if len(rates) > 1:
        listed = ", ".join(f"{rate:g}" for rate in sorted(rates))
        raise InvalidECGError(f"its leads differ in sampling rate ({listed} Hz).")
    return rates.pop()


def _in_millivolts(
    header: Header,
    chosen: Sequence[int],
    digital: Sequence[np.ndarray],
    layout: Layout,
    trust: ReadPolicy,
) -> np.ndarray:
    """Return the chosen signals as float64 (n_leads, n_samples), NaN where marked as invalid."""
    rows = []
    for i, integers in zip(chosen, digital, strict=True):
        signal, values = header.signals[i], integers.astype(float)
        if trust.verify and signal.checksum is not None:
            found = int(integers.sum(dtype=np.int64)) % 2**16
            if found != signal.checksum:
                raise InvalidECGError(
                    f"its lead {signal.name} is not what was recorded: its samples add up to "
                    f"{found}, but the checksum in its header is {signal.checksum}."
                )
        if layout.adc_gain is not None:
            row = values / layout.adc_gain
        elif (unit := signal.unit.lower()) in _MILLIVOLTS:
            with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is told later
                row = (values - signal.baseline) * (_MILLIVOLTS[unit] / signal.gain)
        else:
            raise InvalidECGError(
                f"its lead {signal.name} is in the unknown unit {signal.unit!r}, not mV, uV or V."
            )
        invalid = wfdb_signal.INVALID_SAMPLE_VALUE[signal.format]
        if invalid is not None:
            row[integers == invalid] = np.nan
        n_skewed = signal.skew * signal.per_frame  # which other leads do not have
        rows.append(np.concatenate([row[n_skewed:], np.full(n_skewed, np.nan)]))
    return np.stack(rows)


def _check_size(n_samples: float) -> None:
    """Refuse what would ask for too much memory."""
    if n_samples > _MOST_SAMPLES:
        raise InvalidECGError(
            f"it has, or would have, {n_samples:.0f} samples in all leads, more than the "
            f"{_MOST_SAMPLES} that are read at once."
        )


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
