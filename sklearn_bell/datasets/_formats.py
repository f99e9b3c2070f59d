"""Formats of ECG files, recognised by content, and records of those that hospitals export."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

from sklearn_bell._utils.leads import is_known_lead
from sklearn_bell.datasets._files import ReadPolicy, check_file, find_encoding
from sklearn_bell.datasets._record import MILLIVOLTS, Recording, check_size
from sklearn_bell.exceptions import InvalidECGError

EMPTY = "an empty file"
_N_SNIFFED = 8192  # bytes at the beginning
_MAX_BYTES = 2**28  # of a file: XML takes several bytes for a sample
_ROOT = re.compile(rb"<\s*(?:\w+:)?([A-Za-z][\w.-]*)[\s>/]")
_XML = {  # by the name of the first element
    b"RestingECG": "GE MUSE XML",
    b"CardiologyXML": "GE CardioSoft XML",
    b"AnnotatedECG": "HL7 aECG",
    b"restingecgdata": "Philips Sierra XML",
    b"ECG": "Mortara XML",
}
_EDF, _BDF = "EDF", "BDF"
_FILL = -(2**15)
_BINARY = (  # offset, bytes, name
    (128, b"DICM", "DICOM"),
    (16, b"SCPECG", "SCP-ECG"),
    (0, b"\xffBIOSEMI", _BDF),
    (0, b"0       ", _EDF),
    (0, b"ISHNE1.0", "ISHNE"),
    (0, b"ANN  1.0", "ISHNE annotations"),
    (0, b"\x93NUMPY", "NumPy"),
    (0, b"\x89HDF", "HDF5"),
    (0, b"MATLAB 5.0", "MATLAB"),
    (0, b"PK\x03\x04", "ZIP"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"PAR1", "Parquet"),
    (0, b"%PDF", "PDF"),
)
_SCP_VERSIONS = {bytes([version, version]) for version in range(10, 31)}  # of section, protocol
#: Formats of hospital exports, which need the extra ``formats``.
EXPORTS = {*_XML.values(), "DICOM", "SCP-ECG", _EDF, _BDF, "ISHNE"} - {"GE CardioSoft XML"}
# in warnings of ecgdatakit: damage, waveforms that are not read, and doubts
_DAMAGE = re.compile("checksum|crc|truncated", re.IGNORECASE)
_IGNORED = re.compile("additional (?!median)", re.IGNORECASE)
_DOUBT = re.compile("not applied")
_INSTALL = "Install it with: pip install sklearn_bell[formats]"


def recognize(path: str | os.PathLike[str]) -> str | None:
    """Return the name of the format of a file by its content, None if it is not known."""
    with open(path, "rb") as file:
        start = file.read(_N_SNIFFED)
    for offset, mark, name in _BINARY:
        if start[offset : offset + len(mark)] == mark:
            return name
    if start[8:10] == b"\x00\x00" and start[14:16] in _SCP_VERSIONS:
        return "SCP-ECG"  # its first section, of programs that leave the mark out
    if not start:
        return EMPTY
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"<") or start.startswith((b"\xff\xfe<", b"\xfe\xff\x00<")):
        elements = _ROOT.findall(start.replace(b"\x00", b""))  # of UTF-16
        return next((_XML[name] for name in elements if name in _XML), "XML")
    encoding = find_encoding(start)
    if encoding == "utf-16" or b"\x00" not in start:
        first = (start.decode(encoding, "replace").lstrip().splitlines() or [""])[0]
        is_column = os.fspath(path).lower().endswith(".csv") and is_known_lead(first)
        if is_column or re.search(r"[,;\t]", first):
            return "CSV"
    return None


def open_export(path: str, policy: ReadPolicy, name: str) -> Recording:
    """Open a file of one of the `EXPORTS`. Errors state the cause only."""
    check_file(path, policy)
    if (size := os.path.getsize(path)) > _MAX_BYTES:
        raise InvalidECGError(f"expected at most {_MAX_BYTES} bytes of {name}, got {size}.")
    is_edf = name in (_EDF, _BDF)
    module = "pyedflib" if is_edf else "ecgdatakit"
    if find_spec(module) is None:
        raise InvalidECGError(f"it is {name}, which needs the package {module}. {_INSTALL}.")
    recording, cautions = _quietly(_open_edf if is_edf else _open_by_ecgdatakit, path, name)
    damage = next((text for text in cautions if _DAMAGE.search(text)), None)
    if damage and policy.verify:
        problem = f"it is {name}, but it is damaged ({damage})"
        remedy = "Export it again, or pass verify=False where the reader has this option"
        raise InvalidECGError(f"{problem}. {remedy}.")
    if any(map(_IGNORED.search, cautions)) and not (name == "DICOM" and _has_one_original(path)):
        problem = f"it is {name}, but has several waveforms, of which only the first would be read"
        raise InvalidECGError(f"{problem}. Export each to a file of its own.")
    doubts = tuple(text.replace(path, "it") for text in cautions if _DOUBT.search(text))
    return recording._replace(cautions=tuple(dict.fromkeys(doubts)))


def _has_one_original(path: str) -> bool:
    """Return True if the first waveform of a DICOM file is the only one that is not derived."""
    import pydicom

    groups = pydicom.dcmread(path).WaveformSequence
    derived = [group.get("WaveformOriginality") == "DERIVED" for group in groups]
    return not derived[0] and all(derived[1:])


def _quietly(open_file: Callable, path: str, name: str) -> tuple[Recording, list[str]]:
    """Open a file; warnings of other packages become text, and their errors InvalidECGError."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            recording = open_file(path)
    except InvalidECGError:
        raise
    except ImportError as error:
        raise InvalidECGError(f"it is {name}, which needs more ({error}). {_INSTALL}.") from error
    except Exception as error:  # any failure of another package on an invalid file
        cause = str(error).replace(f" in {path}", "").rstrip(".")
        problem = f"it is {name}, but cannot be decoded ({type(error).__name__}: {cause})"
        raise InvalidECGError(f"{problem}. Export it again.") from error
    if not recording.names:
        raise InvalidECGError(f"it is {name}, but has no leads.")
    return recording, [str(warning.message) for warning in caught]


def _open_by_ecgdatakit(path: str) -> Recording:
    from ecgdatakit import FileParser

    record = FileParser.parse(path, auto_scale=False)
    leads = [lead for lead in record.leads if len(lead.samples)]
    check_size(sum(len(lead.samples) for lead in leads))

    def read(positions):
        signals = []
        for lead in (leads[i] for i in positions):
            unit = lead.resolution_unit if lead.is_raw else lead.units
            if unit.lower() not in MILLIVOLTS or not lead.resolution:
                is_known = unit and lead.resolution
                problem = f"the unknown unit {unit!r}" if is_known else "no unit"
                raise InvalidECGError(f"its lead {lead.label} has {problem}. Expected a voltage.")
            values = np.asarray(lead.samples, float)
            if lead.is_raw:  # the least value of 16 bits marks missing samples
                values = np.where(values == _FILL, np.nan, values * lead.resolution + lead.offset)
            signals.append(values * MILLIVOLTS[unit.lower()])
        return signals

    rates = [float(lead.sampling_rate) for lead in leads]
    labels = [lead.label for lead in leads]  # ecgdatakit calls a second V5 V5_2
    names = [base if (base := label.rpartition("_")[0]) in labels else label for label in labels]
    return Recording(names, rates, read)


def _open_edf(path: str) -> Recording:
    import pyedflib

    with pyedflib.EdfReader(path) as file:
        numbers = range(file.signals_in_file)
        names = [file.getLabel(i) for i in numbers]
        units = [file.getPhysicalDimension(i).strip() for i in numbers]
        rates = [float(file.getSampleFrequency(i)) for i in numbers]
        check_size(sum(file.getNSamples()))

    def read(positions):
        for i in positions:
            if units[i].lower() not in MILLIVOLTS:
                problem = f"its lead {names[i]} has the unknown unit {units[i]!r}"
                raise InvalidECGError(f"{problem}. Expected mV, uV or V.")
        with pyedflib.EdfReader(path) as file:
            return [file.readSignal(i) * MILLIVOLTS[units[i].lower()] for i in positions]

    return Recording(names, rates, read, has_others=True)
