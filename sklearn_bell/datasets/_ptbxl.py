"""PTB-XL: loader, download and source."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils._param_validation import Options, StrOptions, validate_params

from sklearn_bell.datasets._base import Loaded, Source, binarize, read_table
from sklearn_bell.datasets._download import download_if_absent
from sklearn_bell.datasets._files import ReadPolicy
from sklearn_bell.datasets._reading import CONSTRAINTS, check_leads
from sklearn_bell.datasets._record import TargetFormat
from sklearn_bell.datasets._wfdb import read_labelled
from sklearn_bell.exceptions import InvalidECGError

PTB_XL = Source(
    name="PTB-XL",
    marker="ptbxl_database.csv",
    folders=("ptb-xl", "ptb-xl-a-large-publicly-available-electrocardiography-dataset-1.0.3"),
    url="https://physionet.org/content/ptb-xl/1.0.3/",
    files="https://physionet.org/files/ptb-xl/1.0.3/",
    size="about 3 GB unpacked",
    licence="CC BY 4.0",
    citation="""\
Wagner et al., PTB-XL, a large publicly available electrocardiography dataset. Scientific Data 7,
154 (2020), doi:10.1038/s41597-020-0495-6, doi:10.13026/kfzx-aw45
""",
    fetcher="fetch_ptbxl",
    about="""\
PTB-XL: clinical 12-lead ECGs of 10 s, recorded 1989-1996, with the statements (SCP-ECG codes) of
one or two cardiologists. Version 1.0.3 has 21,799 records of 18,869 patients, at 100 Hz and 500 Hz.
Folds 1-8 are meant for training, 9 for validation, 10 for the final test; patients do not cross
folds, and folds 9 and 10 hold labels of the highest quality. Labels are aggregated from the codes
as in the benchmark of Strodthoff et al. (IEEE JBHI 25(5), 1519-1528 (2021),
doi:10.1109/JBHI.2020.3022989): a code counts whatever its likelihood, even 0 (unknown).
""",
)

_FILE_COLUMNS = {100: "filename_lr", 500: "filename_hr"}
_FOLDS = range(1, 11)
# columns of scp_statements.csv that select the codes of a task, and that hold their classes
_TASKS: dict[str, tuple[str | None, str | None]] = {
    "all": (None, None),
    "diagnostic": ("diagnostic", None),
    "subdiagnostic": ("diagnostic", "diagnostic_subclass"),
    "superdiagnostic": ("diagnostic", "diagnostic_class"),
    "form": ("form", None),
    "rhythm": ("rhythm", None),
}
_CONSTRAINTS = CONSTRAINTS | {
    "task": [StrOptions(set(_TASKS))],
    "sampling_rate": [Options(Integral, set(_FILE_COLUMNS))],
}


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def load_ptbxl(
    data_home: str | os.PathLike[str] | None = None,
    *,
    task: str = "superdiagnostic",
    sampling_rate: int = 100,
    folds: Iterable[int] | None = None,
    leads: Sequence[str] | None = None,
    unlabelled: bool = False,
    n_jobs: int | None = None,
    out: str | os.PathLike[str] | None = None,
    allow_links: bool = False,
    download_if_missing: bool = False,
    n_connections: int = 4,
    verbose: bool = True,
    return_X_y: bool = False,
) -> Loaded:
    """Load PTB-XL, 12-lead ECGs with the statements of cardiologists (multi-label).

    The files are those of the publisher [1]_: ``ptbxl_database.csv``, which may list a part of the
    records, ``scp_statements.csv``, and the folder ``records100`` or ``records500``.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder of PTB-XL, or the one around ``ptb-xl``, by default :func:`get_data_home`.
    task : {"all", "diagnostic", "subdiagnostic", "superdiagnostic", "form", "rhythm"}, \
            default="superdiagnostic"
        The classes: all 71 statements, the 44 diagnostic ones, their 23 subclasses, their 5
        superclasses (CD, HYP, MI, NORM, STTC), the 19 of form or the 12 of rhythm. As in the
        benchmark [2]_, every code that a record lists counts, whatever its likelihood, even 0.
    sampling_rate : {100, 500}, default=100
        Sampling rate of the files to read, in Hz.
    folds : iterable of int, default=None
        The folds to load, of 1 to 10. By default all.
    unlabelled : bool, default=False
        Keep records without a label of the task, with zeros in `target`, unlike the benchmark. By
        default they are left out, with a :class:`~sklearn_bell.exceptions.RecordWarning`.
    leads, n_jobs, out, allow_links
        As in :func:`read_wfdb`. All records at 500 Hz have 5.2 GB.
    download_if_missing : bool, default=False
        Download the missing files of this sampling rate, 0.6 GB at 100 Hz or 2.6 GB at 500 Hz, and
        verify the publisher's checksums. A copy from elsewhere is loaded unchanged.
    n_connections : int, default=4
        Number of files downloaded in parallel.
    verbose : bool, default=True
        Print source, licence and citation before a download, and show a progress bar.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of the Bunch.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        data : ndarray of shape (n_records, n_leads, n_samples)
            The records in mV, float32; with `out` a read-only memory map.
        target : ndarray of shape (n_records, n_classes)
            1 where the record has the class, else 0.
        target_names : ndarray of shape (n_classes,)
            All classes of the task, sorted, whatever the folds.
        groups, fold : ndarray of shape (n_records,)
            The patients, and the publisher's folds.
        lead_names, sampling_rate, units, record_names, derived_leads, filled, skipped, padded
            As from :func:`read_wfdb`; names are such as ``records100/00000/00001_lr``.
        metadata : DataFrame of n_records rows
            The publisher's table, with age, sex and the rest, indexed by ``ecg_id``.
        DESCR : str
            A description, with the citation.

    Raises
    ------
    FileNotFoundError
        If the data set, or its part with this sampling rate, is missing.
    InvalidECGError
        If a record cannot be read, if there is none, or if a table differs from the published one.
    OSError, ImportError
        If a file cannot be downloaded or fails its checksum in five attempts, or if pooch is not
        installed. Complete files are kept, and the next call resumes.

    References
    ----------
    .. [1] Wagner et al., Scientific Data 7, 154 (2020), doi:10.1038/s41597-020-0495-6
    .. [2] Strodthoff et al., IEEE JBHI 25(5), 1519-1528 (2021), doi:10.1109/JBHI.2020.3022989

    Examples
    --------
    >>> from sklearn_bell.datasets import load_ptbxl
    >>> train = load_ptbxl(folds=range(1, 9), unlabelled=True)  # doctest: +SKIP
    >>> load_ptbxl("an_empty_folder")
    Traceback (most recent call last):
        ...
    FileNotFoundError: Expected PTB-XL in an_empty_folder ... Download it with fetch_ptbxl, ...
    """
    target_format = TargetFormat(check_leads(leads))
    folds = _FOLDS if folds is None else _check_folds(folds, _FOLDS)
    records = f"records{sampling_rate}"
    if download_if_missing:
        prefixes = (PTB_XL.marker, "scp_statements.csv", "LICENSE.txt", f"{records}/")
        download_if_absent(PTB_XL, data_home, prefixes, n_connections, verbose)
    folder = PTB_XL.find(data_home)
    if not (folder / records).is_dir():
        remedy = f"Download it with fetch_ptbxl, or from {PTB_XL.url}, or load the other rate"
        raise FileNotFoundError(f"Expected a folder {records} in {folder}. {remedy}.")
    text_columns = ["scp_codes", _FILE_COLUMNS[sampling_rate]]
    columns = ["patient_id", "strat_fold", *text_columns]
    check = partial(_check_table, text_columns=text_columns)
    table = read_table(folder / PTB_XL.marker, columns, allow_links, check)
    if folds is not _FOLDS:
        _check_folds(folds, table["strat_fold"])
        table = table[table["strat_fold"].isin(folds)]
    target, target_names = _encode(table["scp_codes"], folder, task, allow_links)

    names = np.array(table[_FILE_COLUMNS[sampling_rate]], dtype=str)
    groups, fold = (table[column].to_numpy(np.int64) for column in ("patient_id", "strat_fold"))
    rows = {"target": target, "groups": groups, "fold": fold, "metadata": table}
    policy = ReadPolicy(folder, allow_links=allow_links)
    options = {"task": task, "unlabelled": unlabelled, "n_jobs": n_jobs, "out": out}
    bunch = read_labelled(names, target.any(axis=1), rows, target_format, policy, **options)
    bunch.update(target_names=target_names, DESCR=PTB_XL.description)
    return (bunch.data, bunch.target) if return_X_y else bunch


def fetch_ptbxl(data_home: str | os.PathLike[str] | None = None, **options: Any) -> Loaded:
    """Download PTB-XL if missing, and load it with the options of :func:`load_ptbxl`.

    Downloads go to the folder ``ptb-xl`` in `data_home`.

    Examples
    --------
    >>> from sklearn_bell.datasets import fetch_ptbxl
    >>> ecg = fetch_ptbxl(sampling_rate=100, folds=[1, 2])  # doctest: +SKIP
    """
    return load_ptbxl(data_home, download_if_missing=True, **options)


def _check_folds(folds: Iterable[int], available: Iterable[int]) -> list[int]:
    checked = list(folds) if isinstance(folds, Iterable) else []
    if not checked or not set(checked) <= set(available):
        allowed = sorted(map(int, set(available)))
        raise InvalidECGError(f"Expected folds out of {allowed}, got {checked or folds!r}.")
    return checked


def _check_table(table: pd.DataFrame, text_columns: list[str]) -> pd.DataFrame:
    """Check the columns that are used here, and return the table."""
    for column in ("patient_id", "strat_fold"):
        if (table[column].astype(np.int64) != table[column]).any():
            raise ValueError(f"its column {column} has values that are not whole numbers")
    for column in text_columns:
        if not table[column].map(lambda cell: isinstance(cell, str)).all():
            raise ValueError(f"its column {column} has values that are not text")
    for cell in table["scp_codes"]:
        if not isinstance(_parse_codes(cell), dict):
            raise ValueError(f"{cell!r} has no codes")
    return table


def _parse_codes(cell: str) -> dict[str, float]:
    """Return codes and their likelihoods, as of ``{'NORM': 100.0, 'SR': 0.0}``."""
    return json.loads(cell.replace("'", '"'))


def _encode(cells, folder, task, allow_links) -> tuple[np.ndarray, np.ndarray]:
    """Return the label indicator (n_records, n_classes) and the class names of a task."""
    selector, class_column = _TASKS[task]
    columns = [name for name in (selector, class_column) if name]
    statements = read_table(folder / "scp_statements.csv", columns, allow_links)
    if selector:
        statements = statements[statements[selector] == 1]
    classes = statements[class_column].dropna() if class_column else statements.index.to_series()
    # some excerpts of PTB-XL write NT for NT_
    class_of = {str(code).rstrip("_"): name for code, name in classes.items()} | dict(classes)
    return binarize(map(_parse_codes, cells), class_of)
