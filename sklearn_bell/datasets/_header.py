"""Parser of single-segment WFDB headers, as strict as header(5) of the WFDB manual.

wfdb skips fields that it cannot parse, such as a gain with a corrupt digit, and rejects old dates.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from sklearn_bell.exceptions import InvalidECGError

_MAX_BYTES, _MAX_LINE_LENGTH = 2**20, 1000  # of a header, and in characters
_MAX_SIGNALS = 1024
_DEFAULT_RATE, _DEFAULT_GAIN = 250.0, 200.0
_NUMBER = r"[+-]?(?:\d{1,20}\.?\d{0,20}|\.\d{1,20})(?:[eE][+-]?\d{1,2})?"  # is finite
_COUNT, _INTEGER = r"\d{1,15}", r"[+-]?\d{1,15}"
_RECORD_LINE = re.compile(
    rf"""
    (?P<name>\S+?) (?P<segments>/\d+)? \s+ (?P<n_signals>{_COUNT})
    (?: \s+ (?P<rate>{_NUMBER}) (?:/{_NUMBER} (?:\({_NUMBER}\))? )?
        (?: \s+ (?P<n_frames>{_COUNT}) (?: \s+ .* )?  # time and date, in any form
    )? )?
    """,
    re.VERBOSE | re.ASCII,
)
_SIGNAL_LINE = re.compile(
    rf"""
    (?P<file>\S+) \s+ (?P<format>\d{{1,3}})
        (?:x(?P<per_frame>{_COUNT}))? (?::(?P<skew>{_COUNT}))? (?:\+(?P<offset>{_COUNT}))?
    (?: \s+ (?P<gain>{_NUMBER}) (?:\((?P<baseline>{_INTEGER})\))? (?:/(?P<unit>\S+))?
        (?: \s+ {_COUNT}  # bits of the ADC
            (?: \s+ (?P<zero>{_INTEGER})
                (?: \s+ (?P<initial>{_INTEGER})
                    (?: \s+ (?P<checksum>{_INTEGER})
                        (?: \s+ {_COUNT}  # block size
                            (?: \s+ (?P<name>\S.*) )?
    )? )? )? )? )? )?
    """,
    re.VERBOSE | re.ASCII,
)
_COMMENT = re.compile(
    r"[#\s]*(?:(?P<known>age|sex|[drhs]x)\s*[:=\s]|(?P<name>[^:]*):)(?P<value>.*)", re.IGNORECASE
)
_COMMENTS = {name.lower(): name for name in ("Age", "Sex", "Dx", "Rx", "Hx", "Sx")}  # in any case


class Signal(NamedTuple):
    """Specification of one signal."""

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
    """Specification of one record."""

    signals: tuple[Signal, ...]
    rate: float  # frames per second
    n_frames: int | None  # None if the size of the signal files decides


def read_header(path: str) -> Header:
    """Parse a header file. Errors state the cause, without the path."""
    lines = [line for line in _read_lines(path) if not line.startswith("#")]
    if len(lines) < 2:
        raise InvalidECGError("its header has no signals.")
    record, n_signals = _match(_RECORD_LINE, lines[0]), len(lines) - 1
    if record["segments"]:
        raise InvalidECGError("it has several segments. Read the segments as records instead.")
    if int(record["n_signals"]) != n_signals:
        problem = f"its header declares {record['n_signals']} signals, but describes {n_signals}."
        raise InvalidECGError(problem)
    if n_signals > _MAX_SIGNALS:
        raise InvalidECGError(f"expected at most {_MAX_SIGNALS} signals, got {n_signals}.")
    rate = float(record["rate"] or _DEFAULT_RATE)
    if not 1e-6 <= rate <= 1e9:
        raise InvalidECGError(f"expected a sampling rate of 1e-6 to 1e9 Hz, got {rate:g} Hz.")
    signals = tuple(_parse_signal(number, line) for number, line in enumerate(lines[1:]))
    if all(signal.file == "~" for signal in signals):
        raise InvalidECGError(
            "it is the layout of a record of several segments, as in MIMIC, and has no samples. "
            "Read the segments as records instead."
        )
    return Header(signals, rate, int(record["n_frames"] or 0) or None)


def read_comments(path: str) -> dict[str, str]:
    """Return the named comments of a header file, such as ``# Age: 74``.

    Several comments of one name are joined by commas.
    """
    comments: dict[str, str] = {}
    for line in _read_lines(path):
        match = _COMMENT.fullmatch(line)
        if line.startswith("#") and match:
            name, value = (match["known"] or match["name"]).strip(), match["value"]
            name = _COMMENTS.get(name.lower(), name)
            comments[name] = (
                f"{comments[name]},{value.strip()}" if name in comments else value.strip()
            )
    return comments


def _read_lines(path: str) -> list[str]:
    """Return the lines that are not empty."""
    with open(path, "rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise InvalidECGError(f"its header is larger than {_MAX_BYTES} bytes.")
    try:
        text = content.decode("utf-8-sig")  # Windows may write a byte order mark
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # comments of older programs
    lines = [line.replace("\t", " ").strip() for line in re.split(r"\r?\n|\r", text)]
    return [line for line in lines if line]


def _parse_signal(number: int, line: str) -> Signal:
    fields = _match(_SIGNAL_LINE, line)
    zero = int(fields["zero"] or 0)
    return Signal(
        file=fields["file"],
        format=fields["format"],
        per_frame=int(fields["per_frame"] or 1),
        skew=int(fields["skew"] or 0),
        offset=int(fields["offset"] or 0),
        gain=float(fields["gain"] or 0) or _DEFAULT_GAIN,
        baseline=int(fields["baseline"] or zero),
        unit=fields["unit"] or "mV",
        initial=int(fields["initial"] or zero),
        checksum=None if fields["checksum"] is None else int(fields["checksum"]) % 2**16,
        name=fields["name"] or f"signal {number}",
    )


def _match(pattern: re.Pattern[str], line: str) -> re.Match[str]:
    fields = pattern.fullmatch(line[: _MAX_LINE_LENGTH + 1])
    if fields is None or len(line) > _MAX_LINE_LENGTH or not line.isprintable():
        raise InvalidECGError(f"its header has an invalid line: {line[:80]!r}.")
    return fields
