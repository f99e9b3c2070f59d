"""Reader of ECG files of any known format into one array."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from numbers import Real
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sklearn_bell.datasets._base import warn_about_records
from sklearn_bell.datasets._csv import (
    UNITS,
    CSVFormat,
    is_other_table,
    open_csv,
    read_npy,
    stems_of,
)
from sklearn_bell.datasets._files import ReadPolicy, check_file
from sklearn_bell.datasets._formats import EMPTY, EXPORTS, open_export, recognize
from sklearn_bell.datasets._reading import (
    CONSTRAINTS,
    check_leads,
    local_paths,
    make_target,
    read_records,
)
from sklearn_bell.datasets._record import MILLIVOLTS, Recording
from sklearn_bell.datasets._wfdb_record import open_wfdb
from sklearn_bell.exceptions import InvalidECGError

_WFDB_PARTS = {".hea", ".dat", ".mat"}
_EXTENSION = re.compile(r"\.(?:xml|dcm|dicom|scp|edf|bdf|ecg|csv)$", re.IGNORECASE)
_REFUSED = "not allowed"  # links out of the folder, pipes: the error follows when it is read
_COMPANIONS = {".atr", ".md", ".txt", ".pdf", ".html", ".png", ".jpg", ".json", ".py"}


class _File(NamedTuple):
    """A record to read: its name for the user, its path, and its format."""

    name: str
    path: str
    format: str | None


@validate_params(
    CONSTRAINTS
    | {
        "sampling_rate_in": [Interval(Real, 0, None, closed="neither"), None],
        "units": [StrOptions(UNITS)],
    },
    prefer_skip_nested_validation=True,
)
def read_ecg(
    records: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    leads: Sequence[str] | None = None,
    sampling_rate: float | None = None,
    duration: float | None = None,
    step: float | None = None,
    max_gap: float = 0.0,
    rename: Mapping[str, str] | None = None,
    sampling_rate_in: float | None = None,
    units: str = "mV",
    n_jobs: int | None = None,
    out: str | os.PathLike[str] | None = None,
    on_error: str = "raise",
    verify: bool = True,
    allow_links: bool = False,
) -> Bunch:
    """Read ECG files of any known format into one array of millivolts.

    Formats are recognised by the content of the files: WFDB, CSV (with its separator and decimal
    sign, see :func:`read_csv` for the columns), ``.npy``, and with the extra
    ``formats`` (``pip install sklearn_bell[formats]``) those that hospitals export: GE MUSE XML,
    Philips Sierra XML, HL7 aECG, Mortara XML, DICOM waveforms, SCP-ECG, ISHNE, EDF and BDF.

    Parameters
    ----------
    records : str, path-like or iterable of str or path-like
        A file, files, a pattern such as ``"exports/*.xml"``, or a folder, whose files at any depth
        are read. A folder with records of other formats may have CSV and ``.npy`` files, which are
        taken for tables and left out, as are tables without lead names. Empty files with the
        extension of ECGs cannot be read.
    leads, sampling_rate, duration, step, max_gap, rename, n_jobs, out, on_error, verify, \
            allow_links
        As in :func:`read_wfdb`. For a ``.npy`` file of shape ``(n_records, n_leads, n_samples)``
        `leads` name its leads, and `duration`, `step`, `max_gap`, `rename` and `out` are errors:
        it is not converted but for `units`.
    sampling_rate_in : float, default=None
        Sampling rate in Hz of CSV and ``.npy`` files, which do not state it.
    units : {"mV", "uV", "V", "nV"}, default="mV"
        Unit of CSV and ``.npy`` files that do not state it. All others do.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        As from :func:`read_wfdb`, and:

        formats : ndarray of shape (n_records,)
            Name of the format of each record.
        left_out : list of str
            Of CSV, EDF and BDF files: names of the columns or signals that are no leads.

    Raises
    ------
    InvalidECGError
        As from :func:`read_wfdb`. An error names the format, and the extra if it is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np, wfdb
    >>> from sklearn_bell.datasets import read_ecg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     wfdb.wrsamp("rest", fs=500, units=["mV", "mV"], sig_name=["I", "II"], fmt=["16", "16"],
    ...                 p_signal=np.random.randn(5000, 2), write_dir=folder)
    ...     ecg = read_ecg(folder, leads=["II", "III"], sampling_rate=100, duration=10)
    >>> ecg.data.shape, ecg.derived_leads, ecg.formats
    ((1, 2, 1000), {'III': 'II - I'}, array(['WFDB'], dtype='<U4'))
    """
    folder = records if isinstance(records, str | os.PathLike) and _is_folder(records) else None
    policy = ReadPolicy(folder, verify, allow_links)
    files = _list_files(records, policy)
    if [file.format for file in files] == ["NumPy"]:
        options: dict = {"duration": duration, "step": step, "max_gap": max_gap}
        options |= {"rename": rename, "out": out}
        return _read_npy(files[0], leads, sampling_rate, sampling_rate_in, units, options)
    target = make_target(leads, sampling_rate, duration, step, max_gap, rename)
    if folder is not None:
        files = _leave_out_tables(files, target)
    csv_format = sampling_rate_in and CSVFormat(sampling_rate_in, units, None, None)
    open_record = partial(_open, policy=policy, csv_format=csv_format, target=target)
    stems = stems_of([file.name for file in files])
    names = [
        stem if file.format == "CSV" else file.name for stem, file in zip(stems, files, strict=True)
    ]
    local_paths([file.path for file in files], None)
    paths = [(file.format, os.path.abspath(file.path)) for file in files]
    bunch = read_records(
        names, paths, target, open_record, n_jobs=n_jobs, out=out, skip=on_error == "skip"
    )
    formats = {name: file.format for name, file in zip(names, files, strict=True)}
    bunch.formats = np.array([formats[name] for name in bunch.record_names])
    return bunch


def _open(file, policy, csv_format, target) -> Recording:
    """Open a file of a recognised format."""
    name, path = file
    if name == "WFDB":
        return open_wfdb(path, policy)
    if name in EXPORTS:
        return open_export(path, policy, name)
    if name == "CSV":
        if csv_format is None:
            raise InvalidECGError(
                "it is CSV, without a sampling rate. Pass sampling_rate_in= (Hz)."
            )
        return open_csv(path, csv_format, target)
    if not os.path.exists(path):
        raise InvalidECGError("there is no such file.")
    check_file(path, policy)
    if name == "NumPy":
        raise InvalidECGError("a .npy file holds many records. Pass it alone.")
    if name == EMPTY:
        raise InvalidECGError(f"it is {name}. Export it again.")
    problem = "it is of no known format" if name is None else f"it is {name}, which is not read"
    raise InvalidECGError(f"{problem}. Export it as WFDB, CSV, DICOM, SCP-ECG, EDF or XML.")


def _is_folder(records: str | os.PathLike[str]) -> bool:
    """Return True for a folder, unless it is a WFDB record of that name."""
    path = Path(records)
    return path.is_dir() and not path.with_name(f"{path.name}.hea").exists()


def _list_files(records, policy: ReadPolicy) -> list[_File]:
    """Return the files of records."""
    if not isinstance(records, str | os.PathLike):
        return [_file(os.fsdecode(record), policy) for record in records]
    path = Path(records)
    if _is_folder(path):
        return _list_folder(path, policy)
    if glob.has_magic(str(path)) and not path.exists():
        paths = filter(os.path.isfile, sorted(glob.glob(str(path), recursive=True)))
        if not (files := list(dict.fromkeys(_file(path, policy) for path in paths))):
            raise InvalidECGError(f"No file matches the pattern {path}. Check it.")
        return files
    return [_file(str(path), policy)]


def _file(path: str, policy: ReadPolicy) -> _File:
    """Return the record that a path means."""
    stem, extension = os.path.splitext(path)
    if extension.lower() in _WFDB_PARTS and os.path.exists(f"{stem}.hea"):
        return _File(stem, stem, "WFDB")
    if os.path.exists(f"{path}.hea"):
        return _File(path, path, "WFDB")
    try:
        check_file(os.path.abspath(path), policy)
        name = recognize(path)
    except InvalidECGError:
        name = _REFUSED
    except OSError:
        name = None  # the error follows when it is read
    return _File(path, path, name)


def _list_folder(folder: Path, policy: ReadPolicy) -> list[_File]:
    """Return the records in a folder at any depth; warn about files of no known format."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    paths = [path for path in paths if not path.name.startswith(".") and path.name != "RECORDS"]
    files = list(dict.fromkeys(_file(str(path), policy) for path in paths))
    records = [file for file in files if file.format in EXPORTS | {"WFDB", _REFUSED}]
    records = records or [file for file in files if file.format == "CSV"]
    unreadable = (file for file in files if file.format in (None, EMPTY))
    records += [file for file in unreadable if _EXTENSION.search(file.path)]  # damaged
    known = {file.name for file in records}
    unknown = [
        f"{file.name} ({file.format or 'unknown'})"
        for file in files
        if file.name not in known
        and file.format not in ("CSV", "NumPy")
        and Path(file.path).suffix.lower() not in _COMPANIONS
    ]
    if not records:
        examples = f"It has {', '.join(unknown[:3])}. " if unknown else ""
        raise InvalidECGError(
            f"{folder} has no ECG files of a known format. {examples}Pass others."
        )
    if unknown:
        problem = f"of {len(files)} files are of no known format and are left out"
        warn_about_records(problem, unknown, "Pass the paths of records to read others.")
    return records


def _leave_out_tables(files: list[_File], target) -> list[_File]:
    """Return the files without tables of other content, and warn about these."""
    tables = [file for file in files if file.format == "CSV" and is_other_table(file.path, target)]
    if not tables or len(tables) == len(files):
        return files
    problem = f"of {len(files)} tables have no lead names and are left out"
    warn_about_records(problem, (file.path for file in tables), "Pass leads= to read others.")
    return [file for file in files if file not in tables]


def _read_npy(file: _File, leads, sampling_rate, sampling_rate_in, units, options) -> Bunch:
    """Return the records of a ``.npy`` file, as a memory map if they are in mV."""
    if sampling_rate_in is None:
        raise InvalidECGError(f"{file.path} states no rate. Pass sampling_rate_in= (Hz).")
    if sampling_rate not in (None, sampling_rate_in):
        raise InvalidECGError(
            f"{file.path} is not resampled from {sampling_rate_in:g} to {sampling_rate:g} Hz while "
            "it is read. Use Resampler."
        )
    if unused := [f"{name}=" for name, value in options.items() if value]:
        raise InvalidECGError(
            f"{file.path} is an array, which {', '.join(unused)} cannot change. Leave them out, "
            "and use Windows, Cropper or GapFiller on the array."
        )
    data = read_npy(Path(file.path))
    names = check_leads(leads)
    if names is not None and len(names) != data.shape[1]:
        raise InvalidECGError(f"{file.path} has {data.shape[1]} leads, but leads= names {leads}.")
    if units == "mV" and data.dtype.kind in "iu":
        raise InvalidECGError(
            f"{file.path} has whole numbers ({data.dtype}), which are hardly millivolts. Pass "
            'units="uV" if these are microvolts, or convert the values of an ADC to millivolts.'
        )
    if units != "mV":
        data = np.multiply(data, MILLIVOLTS[units.lower()], dtype=np.float32)
    return Bunch(
        data=data,
        lead_names=None if names is None else list(names),
        sampling_rate=float(sampling_rate_in),
        units="mV",
        record_names=np.arange(len(data)).astype(str),
        formats=np.full(len(data), file.format),
        derived_leads={},
        filled={},
        skipped={},
        padded=[],
    )
