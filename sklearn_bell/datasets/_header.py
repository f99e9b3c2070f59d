"""The header of a WFDB record of one segment, as header(5) of the WFDB manual has it.

wfdb passes over what it cannot make sense of, so that a digit gone wrong may read as another gain
or lead; and it refuses dates that older headers have. Here each line must be as it is specified.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from sklearn_bell.exceptions import InvalidECGError

_MOST_BYTES, _LONGEST_LINE = 2**20, 1000  # of a header, and of characters
_MOST_SIGNALS = 1024
_DEFAULT_RATE, _DEFAULT_GAIN = 250.0, 200.0
_NUMBER = r"[+-]?(?:\d{1,20}\.?\d{0,20}|\.\d{1,20})(?:[eE][+-]?\d{1,2})?"  # is finite
_COUNT, _INTEGER = r"\d{1,15}", r"[+-]?\d{1,15}"
_RECORD_LINE = re.compile(
    rf"""
    (?P<name>[^\s/]+) (?P<segments>/\d+)?
    \s+ (?P<n_signals>{_COUNT})
    (?: \s+ (?P<rate>{_NUMBER}) (?:/{_NUMBER} (?:\({_NUMBER}\))? )?
        (?: \s+ (?P<n_frames>{_COUNT})
            (?: \s+ .* )?  # time and date, in whatever form
    )? )?
    """,
    re.VERBOSE | re.ASCII,
)
_SIGNAL_LINE = re.compile(
    rf"""
    (?P<file>\S+)
    \s+ (?P<format>\d{{1,3}})
        (?:x(?P<per_frame>{_COUNT}))? (?::(?P<skew>{_COUNT}))? (?:\+(?P<offset>{_COUNT}))?
    (?: \s+ (?P<gain>{_NUMBER}) (?:\((?P<baseline>{_INTEGER})\))? (?:/(?P<unit>\S+))?
        (?: \s+ {_COUNT}  # bits of the ADC
            (?: \s+ (?P<zero>{_INTEGER})
                (?: \s+ (?P<initial>{_INTEGER})
                    (?: \s+ (?P<checksum>{_INTEGER})
                        (?: \s+ {_COUNT}  # block size
                            (?: \s+ (?P<name>\S.*) )?
    )? )? )? )? )?
    )?
    """,
    re.VERBOSE | re.ASCII,
)


class Signal(NamedTuple):
    """What a header says of a signal."""

    file: str
    format: str
    per_frame: int  # samples
    skew: int  # frames
    offset: int  # bytes, or samples of a compressed file
    gain: float  # digital values per unit
    baseline: int
    unit: str
    initial: int  # digital value
    checksum: int | None  # sum of the digital values, modulo 2**16
    name: str


class Header(NamedTuple):
    """What a header says of a record."""

    signals: tuple[Signal, ...]
    rate: float  # frames per second
    n_frames: int | None  # None if the signal files decide


def read_header(path: str) -> Header:
    """Read a header file; an error says what is wrong with it, and not with which."""
    lines = [line for line in _lines(path) if not line.startswith("#")]
    if len(lines) < 2:
        raise InvalidECGError("its header has no signals.")
    return _parsed(lines[0], lines[1:])


def read_comments(path: str) -> dict[str, str]:
    """Return what the comments of a header file say by name, such as ``# Age: 74``."""
    comments = [line.lstrip("# ") for line in _lines(path) if line.startswith("#")]
    named = [comment.partition(":")[::2] for comment in comments if ":" in comment]
    return {name.strip(): value.strip() for name, value in named}


def _lines(path: str) -> list[str]:
    """Return the lines of a header file that are not empty."""
    with open(path, "rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise InvalidECGError(f"its header is larger than {_MOST_BYTES} bytes.")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidECGError(f"its header is not text in UTF-8 ({error}).") from error
    lines = [line.replace("\t", " ").strip() for line in re.split(r"\r?\n|\r", text)]
    return [line for line in lines if line]


def _parsed(record_line: str, signal_lines: list[str]) -> Header:
    record = _matched(_RECORD_LINE, record_line)
    if record["segments"]:
        raise InvalidECGError("it has several segments; read its segments as records instead.")
    if int(record["n_signals"]) != len(signal_lines):
        raise InvalidECGError(
            f"its header promises {record['n_signals']} signals and has {len(signal_lines)}."
        )
    if len(signal_lines) > _MOST_SIGNALS:
        raise InvalidECGError(f"it has more than {_MOST_SIGNALS} signals: {len(signal_lines)}.")
    rate = float(record["rate"] or _DEFAULT_RATE)
    if not 1e-6 <= rate <= 1e9:
        raise InvalidECGError(f"its sampling rate is {rate:g} Hz.")
    signals = tuple(_signal(number, line) for number, line in enumerate(signal_lines))
    return Header(signals, rate, int(record["n_frames"] or 0) or None)


def _signal(number: int, line: str) -> Signal:
    found = _matched(_SIGNAL_LINE, line)
    zero = int(found["zero"] or 0)
    return Signal(
        file=found["file"],
        format=found["format"],
        per_frame=int(found["per_frame"] or 1),
        skew=int(found["skew"] or 0),
        offset=int(found["offset"] or 0),
        gain=float(found["gain"] or 0) or _DEFAULT_GAIN,
        baseline=zero if found["baseline"] is None else int(found["baseline"]),
        unit=found["unit"] or "mV",
        initial=zero if found["initial"] is None else int(found["initial"]),
        checksum=None if found["checksum"] is None else int(found["checksum"]) % 2**16,
        name=found["name"] or f"signal {number}",
    )


def _matched(pattern: re.Pattern[str], line: str) -> re.Match[str]:
    found = pattern.fullmatch(line) if len(line) <= _LONGEST_LINE and line.isprintable() else None
    if found is None:
        raise InvalidECGError(f"its header has a line that makes no sense: {line[:80]!r}.")
    return found
